// SPDX-License-Identifier: Apache-2.0
//
// Checksums of all of guest RAM in pieces of 2 MiB, for the comparison of both sides while the guest is
// paused: several threads, each with pieces of its own. Pure; nothing may write to RAM meanwhile.
#pragma once

#include "migration/channel/cancel.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <vector>

namespace godwit::migration {

inline constexpr std::uint64_t kDigestBytes = std::uint64_t{2} << 20;

// How many pieces RAM of this size has; the last one may be shorter.
constexpr std::uint64_t digest_count(std::uint64_t ram_size) {
    return (ram_size + kDigestBytes - 1) / kDigestBytes;
}

// CRC-32C of every piece. Cancelled on a request, which may be null.
Result<std::vector<std::uint32_t>> digest_ram(const GuestMemory& memory, const Cancel* cancel);

} // namespace godwit::migration
