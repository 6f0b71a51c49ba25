// SPDX-License-Identifier: Apache-2.0
//
// Seccomp: the filters that write_filters has made, and what happens to who breaks them.
#pragma once

#include "vmm/base/result.h"
#include "vmm/sandbox/role.h"

namespace godwit::sandbox {

enum class Denied {
    Ends,  // the process, with one line on standard error and ExitStatus kDeniedStatus
    Logged // by the kernel; the call goes on
};

// vmm/control/exit.h has it as ExitStatus::Sandboxed.
inline constexpr int kDeniedStatus = 10;

// An error says what this kernel lacks.
Status check_filters();
// Of the process: what is done when a thread makes a system call that its role may not.
void install_denial();
// The calling thread's filter, for ever; errno when the kernel refuses it.
int load_filter(Role role, Denied denied);

} // namespace godwit::sandbox
