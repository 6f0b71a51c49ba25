// SPDX-License-Identifier: Apache-2.0
//
// Channel command words, format 1: fetching, and the checks that need no context. Principles of Operation,
// chapter 15, "Channel-Command Word". Pure; loop thread.
#pragma once

#include "transports/ccw/records.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <optional>

namespace godwit::ccw {

inline constexpr bool is_transfer(const Ccw1& ccw) {
    return (ccw.cmd_code & 0x0f) == kCommandTransfer;
}

// Nothing when the address is not aligned, not below 2 GiB, or not RAM: a program check.
std::optional<Ccw1> fetch_ccw(const GuestMemory& memory, std::uint64_t at);

// A transfer in channel by itself; what came before it is the caller's affair.
bool valid_transfer(const Ccw1& ccw);

// A CCW that describes data. `chained`: its command was given by an earlier one.
bool valid_data(const Ccw1& ccw, bool chained);

} // namespace godwit::ccw
