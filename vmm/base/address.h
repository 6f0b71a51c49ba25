// SPDX-License-Identifier: Apache-2.0
//
// The three kinds of address that must not be mixed up: guest physical, offset in guest RAM, host pointer.
#pragma once

#include <fmt/core.h>

#include <compare>
#include <cstdint>
#include <optional>

namespace godwit {

inline constexpr std::uint64_t kPageSize = 4096; // the unit of dirty tracking and of the RAM stream
inline constexpr std::uint64_t kPageShift = 12;

// Guest physical address.
struct Gpa {
    std::uint64_t value = 0;
    auto operator<=>(const Gpa&) const = default;
};

// Offset in the guest's RAM block, which is linear although the guest sees it in two pieces around the hole
// below 4 GiB.
struct RamOffset {
    std::uint64_t value = 0;
    auto operator<=>(const RamOffset&) const = default;
};

// base + length, or nothing when that wraps.
constexpr std::optional<Gpa> checked_add(Gpa base, std::uint64_t length) {
    if (base.value + length < base.value)
        return std::nullopt;
    return Gpa{base.value + length};
}

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

} // namespace godwit

// "gpa:0xfee00000", "ram:0x1000".
template <>
struct fmt::formatter<godwit::Gpa> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    format_context::iterator format(godwit::Gpa gpa, format_context& context) const;
};

template <>
struct fmt::formatter<godwit::RamOffset> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    format_context::iterator format(godwit::RamOffset offset, format_context& context) const;
};
