// SPDX-License-Identifier: Apache-2.0
//
// What a godwit process gives up before it meets a guest, a peer or a stranger: new privileges, capabilities,
// system calls, files, and on request its user and its root folder. docs/sandbox.md has what each role keeps.
//
//     TRY(sandbox::begin(options));          // while there is one thread
//     ... std::thread{[] { sandbox::enter(Role::Loop); ... }} ...
//     TRY(sandbox::close_door());            // everything is open that the command line names
//
// Threads: begin() and close_door() on the conductor's; enter() on the thread that it is about.
#pragma once

#include "vmm/base/result.h"
#include "vmm/sandbox/role.h"

#include <string>
#include <vector>

namespace godwit::sandbox {

enum class Mode {
    Off,
    Log, // nothing is denied; the kernel logs (audit, or its own log) what would be
    On,
};

Result<Mode> parse_mode(std::string_view word);

struct Options {
    Mode mode = Mode::On;
    std::string user;               // NAME or UID, or with :GROUP; empty: as it was started
    std::string root;               // folder; empty: as it was started
    std::vector<std::string> paths; // all that operators may name later; empty: whatever the user may open
    std::string key_file;           // which a destination reads at each handshake; or empty
};

// Of the process, once. From here on it and whatever it starts gains no privileges, no other process of the
// same user looks into it, and it leaves no core dump. An error names the option or what the kernel lacks.
Status begin(const Options& options);

// The calling thread's name (its role's, if no other is given; the conductor keeps the program's) and what it
// may do, from now on. Nothing but the name before begin() or when the sandbox is off. A kernel that fails
// here ends the process.
void enter(Role role, const std::string& name = {});

// The conductor's own: changes the root folder, closes descriptors that were inherited and not taken, and
// enters its role.
Status close_door();

} // namespace godwit::sandbox
