// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/acpi/table.h"

namespace godwit::acpi {

namespace {
constexpr std::size_t kLengthAt = 4;
constexpr std::size_t kChecksumAt = 9;
} // namespace

std::uint8_t checksum(std::span<const std::byte> bytes) {
    std::uint8_t sum = 0;
    for (const std::byte byte : bytes)
        sum = static_cast<std::uint8_t>(sum + std::to_integer<std::uint8_t>(byte));
    return static_cast<std::uint8_t>(-sum);
}

ByteWriter begin_table(std::string_view signature, std::uint8_t revision) {
    ByteWriter table;
    table.append(signature);
    table.le(std::uint32_t{0}); // length
    table.le(revision);
    table.le(std::uint8_t{0}); // checksum
    table.append(kOemId);
    table.append(kOemTableId);
    table.le(std::uint32_t{1}); // OEM revision
    table.append(kCreatorId);
    table.le(std::uint32_t{1}); // creator revision
    return table;
}

std::vector<std::byte> finish_table(ByteWriter table) {
    std::vector<std::byte> bytes = table.take();
    seal_table(bytes);
    return bytes;
}

void seal_table(std::span<std::byte> table) {
    store_le(table.subspan(kLengthAt), static_cast<std::uint32_t>(table.size()));
    table[kChecksumAt] = std::byte{0};
    table[kChecksumAt] = std::byte{checksum(table)};
}

void append_memory_register(ByteWriter& table, std::uint64_t address) {
    table.le(std::uint8_t{0}); // address space: system memory
    table.le(std::uint8_t{8}); // bits
    table.le(std::uint8_t{0}); // bit offset
    table.le(std::uint8_t{1}); // access size: byte
    table.le(address);
}

} // namespace godwit::acpi
