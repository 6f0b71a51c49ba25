// SPDX-License-Identifier: Apache-2.0
//
// godwit-plain: all of godwit, but its guests need no /dev/kvm.
#include "guest-tests/plain/plain_machine.h"
#include "vmm/cli/program.h"

int main(int argc, char** argv) {
    return godwit::cli::main(argc, argv, godwit::plain::PlainMachine::create);
}
