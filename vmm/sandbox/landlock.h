// SPDX-License-Identifier: Apache-2.0
//
// Landlock (Linux Documentation/userspace-api/landlock.rst): which files a thread may reach by their names,
// whatever its user may. Kernels without it, or with less of it, are no error: the filters of system calls
// hold all the same.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/sandbox/role.h"

#include <span>
#include <string>

namespace godwit::sandbox {

// The highest version of it that this kernel has; 0: none.
int landlock_version();

struct Places {
    std::span<const std::string>
        paths; // all that operators may name later; empty: no limit for the conductor
    std::string key_file;
};

// Whether threads of `role` reach some files by their names. Those of all others share one set of rules.
constexpr bool reaches_files(Role role) {
    return role == Role::Conductor || role == Role::Source || role == Role::Destination;
}

// A set of rules for threads of `role`; empty where the kernel has none. Places that are not there are left
// out, but for `places.paths`, where each is an error.
Result<Fd> make_rules(Role role, const Places& places);

// The calling thread, for ever; errno.
int restrict_files(const Fd& rules);

} // namespace godwit::sandbox
