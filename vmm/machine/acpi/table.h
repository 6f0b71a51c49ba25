// SPDX-License-Identifier: Apache-2.0
//
// What all ACPI tables share: the header and the checksum. ACPI 6.4 section 5.2.6. Any thread.
#pragma once

#include "vmm/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace godwit::acpi {

inline constexpr std::size_t kHeaderSize = 36;
inline constexpr std::string_view kOemId = "GODWIT";        // 6 characters
inline constexpr std::string_view kOemTableId = "GODWITVM"; // 8 characters
inline constexpr std::string_view kCreatorId = "GDWT";

// The byte that makes the sum of all bytes zero, given that the checksum field itself is zero.
std::uint8_t checksum(std::span<const std::byte> bytes);

// A writer that has the header of a table; the body follows, then finish().
ByteWriter begin_table(std::string_view signature, std::uint8_t revision);
// Fills in length and checksum.
std::vector<std::byte> finish_table(ByteWriter table);
// Recomputes length and checksum of a table that was changed. Precondition: it has a header.
void seal_table(std::span<std::byte> table);

// Generic address structure (section 5.2.3.2) of a byte register in memory.
void append_memory_register(ByteWriter& table, std::uint64_t address);

} // namespace godwit::acpi
