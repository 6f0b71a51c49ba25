// SPDX-License-Identifier: Apache-2.0
//
// The whole machine as a file: a complete stream in QEMU's format, RAM included.
#pragma once

#include "vmm/machine/machine.h"

#include <string>

namespace godwit {

// Pauses the guest while it is written. Threads: as Machine::hold().
Status save_stream(Machine& machine, const std::string& path);

} // namespace godwit
