// SPDX-License-Identifier: Apache-2.0
//
// Spans of the guest's clock, in nanoseconds.
#pragma once

#include <cstdint>

namespace godwit::plain {

inline constexpr std::uint64_t kMicrosecond = 1'000;
inline constexpr std::uint64_t kMillisecond = 1'000'000;
inline constexpr std::uint64_t kSecond = 1'000'000'000; // also the rest of whoever has nothing to do

} // namespace godwit::plain
