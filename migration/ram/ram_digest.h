// SPDX-License-Identifier: Apache-2.0
//
// Checksums of all of guest RAM in pieces of 2 MiB, for the comparison of both sides while the guest is
// paused: several threads, each with pieces of its own. Pure.
#pragma once

#include "migration/channel/cancel.h"
#include "vmm/memory/guest_memory.h"

#include <chrono>
#include <cstdint>
#include <vector>

namespace godwit::migration {

inline constexpr std::uint64_t kDigestBytes = std::uint64_t{2} << 20;

// How many pieces RAM of this size has; the last one may be shorter.
constexpr std::uint64_t digest_count(std::uint64_t ram_size) {
    return (ram_size + kDigestBytes - 1) / kDigestBytes;
}

// CRC-32C of every piece. Cancelled on a request, which may be null. Nothing may write to RAM meanwhile.
Result<std::vector<std::uint32_t>> digest_ram(const GuestMemory& memory, const Cancel* cancel);

// How long digest_ram() will take, going by a few pieces from all over RAM, which are summed up for that (a
// millisecond). The guest may run.
std::chrono::microseconds forecast_digest(const GuestMemory& memory);

} // namespace godwit::migration
