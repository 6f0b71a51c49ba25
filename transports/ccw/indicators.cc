// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/indicators.h"

namespace godwit::ccw {

namespace {

// Addresses were checked when they were set or loaded, and RAM does not go away.
std::uint8_t set_bits(GuestMemory& memory, std::uint64_t address, std::uint8_t bits) {
    const auto before = memory.fetch_or<std::uint8_t>(Gpa{address}, bits);
    return before.ok() ? before.value() : bits;
}

} // namespace

void set_classic(GuestMemory& memory, const Indicator& word, std::uint16_t index) {
    if (word.len == kClassicLength && index < 8 * kClassicLength)
        set_bits(memory, word.addr + kClassicLength - 1 - index / 8u,
                 static_cast<std::uint8_t>(1u << index % 8u));
}

bool any_set(const GuestMemory& memory, const Indicator& word) {
    if (word.len != kClassicLength)
        return false;
    const auto bits = memory.load_acquire<std::uint64_t>(Gpa{word.addr});
    return bits.ok() && bits.value() != 0;
}

void set_from_left(GuestMemory& memory, const Indicator& area, std::uint64_t bit) {
    set_bits(memory, area.addr + bit / 8, static_cast<std::uint8_t>(0x80 >> bit % 8));
}

bool set_summary(GuestMemory& memory, const Indicator& summary) {
    return (set_bits(memory, summary.addr, kSummaryBit) & kSummaryBit) == 0;
}

bool summary_set(const GuestMemory& memory, const Indicator& summary) {
    const auto byte = memory.load_acquire<std::uint8_t>(Gpa{summary.addr});
    return byte.ok() && byte.value() != 0;
}

Status check_classic(const GuestMemory& memory, const Indicator& word) {
    if (word.len == 0 && word.addr == 0)
        return {};
    if (word.len != kClassicLength || word.addr % kClassicLength != 0)
        return corrupt("{} bytes at {}, an aligned doubleword it must be", word.len, Gpa{word.addr});
    return check_area(memory, word);
}

Status check_area(const GuestMemory& memory, const Indicator& area) {
    if (area.len < 0 || (area.len == 0 && area.addr != 0))
        return corrupt("{} bytes at {}", area.len, Gpa{area.addr});
    if (area.len != 0)
        TRY(memory.locate(Gpa{area.addr}, static_cast<std::uint64_t>(area.len)));
    return {};
}

} // namespace godwit::ccw
