// SPDX-License-Identifier: Apache-2.0
//
// User, groups and capabilities of a thread, and the descriptors of the process. Credentials belong to a
// thread in the kernel; the C library's functions would change those of all threads, whose filters may not
// let them.
#pragma once

#include "vmm/base/result.h"

#include <optional>
#include <string>
#include <sys/types.h>

namespace godwit::sandbox {

struct Identity {
    uid_t user = 0;
    gid_t group = 0;
};

// "NAME", "UID", "NAME:GROUP", "UID:GID"; a number without a group needs a user of that number, or a group.
Result<Identity> parse_identity(const std::string& text);

// The calling thread: another user, no further groups; errno.
int become(const Identity& identity);
// The calling thread: no capabilities; errno.
int drop_capabilities();

// What was inherited and not taken: a descriptor of our own, and one that was taken, is closed by exec().
void close_inherited();

} // namespace godwit::sandbox
