// SPDX-License-Identifier: Apache-2.0
//
// What a thread of a godwit process is for, which decides what it may ask of the kernel (rules.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace godwit::sandbox {

enum class Role : std::uint8_t {
    Conductor,   // starts, saves and ends the machine; the thread of main()
    Vcpu,        // runs the guest, and what the guest reaches by port or memory access
    Loop,        // devices, the control socket, consoles
    Source,      // moves a guest away: the migration, its connections, name look-up
    Destination, // lets a guest in: the door, visitors, the migration, its connections
    Boot,        // reads and unpacks a kernel
    Worker,      // everything else: signals, time limits, checksums, write-back, the log
};

struct RoleInfo {
    std::string_view name; // of the thread, too
    // Who starts such threads. A thread keeps its creator's rules and adds its own, so these must be a part
    // of the creator's; write_filters checks it.
    std::uint8_t started_by;
    std::string_view purpose; // docs/sandbox.md
};

constexpr std::uint8_t bit(Role role) {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(role));
}

inline constexpr std::uint8_t kEveryRole = 0x7f;

// In the order of Role.
inline constexpr std::array<RoleInfo, 7> kRoles{{
    {"conductor", 0, "starts, pauses, saves, restores and ends the machine; starts migrations"},
    {"vcpu", 0, "runs the guest in KVM, and what it reaches by port or memory access"},
    {"loop", bit(Role::Loop), "devices, consoles and the control socket, on io_uring"},
    {"source", bit(Role::Conductor) | bit(Role::Source), "moves the guest away; looks up names of hosts"},
    {"destination", bit(Role::Conductor) | bit(Role::Destination),
     "lets a guest in: the door and the migration"},
    {"boot", 0, "reads and unpacks a kernel and an initrd"},
    {"worker", kEveryRole, "signals, time limits, checksums, write-back, the log"},
}};

constexpr const RoleInfo& info(Role role) {
    return kRoles[static_cast<std::size_t>(role)];
}

} // namespace godwit::sandbox
