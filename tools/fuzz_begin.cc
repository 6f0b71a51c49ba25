// SPDX-License-Identifier: Apache-2.0
//
// What every fuzz target does before its first input, with libFuzzer's main() and with ours: what a hostile
// input makes godwit say is not read by anybody.
#include "vmm/base/log.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
int LLVMFuzzerInitialize(int*, char***) {
    godwit::log::set_level(godwit::log::Level::Error);
    return 0;
}
