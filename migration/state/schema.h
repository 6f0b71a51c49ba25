// SPDX-License-Identifier: Apache-2.0
//
// The state schema: one constexpr table per state struct. The writer, the reader, the JSON description, the
// dump and the tests are visitors over that one table; a member that the table forgets does not compile.
//
//     struct TimerState { std::int64_t ticks = 0; std::int64_t clock = 0; std::optional<IcountState> icount;
//     }; template <> struct Schema<TimerState> {
//         static constexpr std::string_view name = "timer";
//         static constexpr std::uint32_t version = 2, minimum_version = 1;
//         static constexpr std::tuple fields{Field{"cpu_ticks_offset", &TimerState::ticks}, Unused{"unused",
//         8},
//                                            Field{"cpu_clock_offset", &TimerState::clock}};
//         static constexpr std::tuple subsections{Subsection{&TimerState::icount}};   // absent when it has
//         none static Status validate(const TimerState&);                                  // absent when
//         anything goes
//     };
//     static_assert(schema_is_complete<TimerState>());
//
// Members may be: unsigned and signed integers, bool, another struct with a Schema, std::array of those,
// BoundedBytes (a buffer whose length another field gives), and std::optional<Sub> for subsections. On the
// wire all integers are big-endian and nothing is aligned: QEMU's VMState encoding (docs/state-stream.md).
#pragma once

#include "vmm/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace godwit {

template <class S>
struct Schema; // specialised beside each state struct

template <class S>
concept HasSchema = requires {
    Schema<S>::name;
    Schema<S>::fields;
};

// Raw bytes with a fixed maximum; the count comes from the field's `length` function, never from the wire
// alone.
template <std::size_t Max>
struct BoundedBytes {
    static constexpr std::size_t kMaximum = Max;
    std::vector<std::byte> bytes;
    bool operator==(const BoundedBytes&) const = default;
};

template <class M>
inline constexpr bool is_bounded_bytes = false;
template <std::size_t Max>
inline constexpr bool is_bounded_bytes<BoundedBytes<Max>> = true;

template <class M>
inline constexpr bool is_std_array = false;
template <class T, std::size_t N>
inline constexpr bool is_std_array<std::array<T, N>> = true;

template <class M>
inline constexpr bool is_byte_buffer = false;
template <std::size_t N>
inline constexpr bool is_byte_buffer<std::array<std::byte, N>> = true;

// A member of S on the wire.
template <class S, class M>
struct Field {
    std::string_view name;
    M S::*at;
    // First record version that has it; a reader of an older record keeps the member's default.
    std::uint32_t since = 0;
    // Asked on saving and on loading (there on the fields loaded so far); no function means always.
    bool (*present)(const S&) = nullptr;
    // BoundedBytes only: how many bytes, from fields before it.
    std::size_t (*length)(const S&) = nullptr;
};
template <class S, class M>
Field(std::string_view, M S::*) -> Field<S, M>;
template <class S, class M>
Field(std::string_view, M S::*, std::uint32_t) -> Field<S, M>;
template <class S, class M>
Field(std::string_view, M S::*, std::uint32_t, bool (*)(const S&)) -> Field<S, M>;
template <class S, class M>
Field(std::string_view, M S::*, std::uint32_t, bool (*)(const S&), std::size_t (*)(const S&)) -> Field<S, M>;

// An integer whose loaded value must equal the local one (QEMU's *_EQUAL): loading compares instead of
// storing.
template <class S, class M>
struct EqualField {
    std::string_view name;
    M S::*at;
};
template <class S, class M>
EqualField(std::string_view, M S::*) -> EqualField<S, M>;

// Zeros on the wire, ignored by the reader.
struct Unused {
    std::string_view name;
    std::size_t bytes;
    std::uint32_t since = 0;
};

// A member that does not travel: context that `present` and `length` functions need.
template <class S, class M>
struct Transient {
    M S::*at;
};
template <class S, class M>
Transient(M S::*) -> Transient<S, M>;

// A named, versioned tail, present when the optional has a value. Name and version are those of Schema<Sub>.
template <class S, class Sub>
struct Subsection {
    std::optional<Sub> S::*at;
};
template <class S, class Sub>
Subsection(std::optional<Sub> S::*) -> Subsection<S, Sub>;

template <class S>
constexpr auto subsections_of() {
    if constexpr (requires { Schema<S>::subsections; })
        return Schema<S>::subsections;
    else
        return std::tuple<>{};
}

namespace schema_detail {

struct Anything {
    template <class T>
    operator T() const; // never defined: only the type counts
};

template <class S, std::size_t... I>
constexpr bool constructible_from(std::index_sequence<I...>) {
    return requires {
        S{(static_cast<void>(I), Anything{})...};
    };
}

template <class S, std::size_t N = 0>
constexpr std::size_t member_count() {
    static_assert(std::is_aggregate_v<S>, "state structs are plain aggregates");
    if constexpr (!constructible_from<S>(std::make_index_sequence<N + 1>{}) &&
                  constructible_from<S>(std::make_index_sequence<N>{}))
        return N;
    else {
        static_assert(N < 256, "member count not found");
        return member_count<S, N + 1>();
    }
}

template <class T>
inline constexpr bool names_member = true;
template <>
inline constexpr bool names_member<Unused> = false;

} // namespace schema_detail

// True when the table names as many members as the struct has. It only counts: the contract test in
// migration/state/contract_test.h changes each field in turn.
template <class S>
constexpr bool schema_is_complete() {
    constexpr std::size_t in_fields = std::apply(
        [](const auto&... f) {
            return (std::size_t{0} + ... +
                    std::size_t{schema_detail::names_member<std::decay_t<decltype(f)>>});
        },
        Schema<S>::fields);
    constexpr std::size_t in_subsections = std::tuple_size_v<decltype(subsections_of<S>())>;
    return in_fields + in_subsections == schema_detail::member_count<S>();
}

template <class S>
Status validate_state(const S& state) {
    if constexpr (requires { Schema<S>::validate(state); })
        return Schema<S>::validate(state);
    else
        return {};
}

} // namespace godwit
