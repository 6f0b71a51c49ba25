// SPDX-License-Identifier: Apache-2.0
//
// Linux's setup header: at the same offsets in a bzImage and in struct boot_params. Reference: Linux
// Documentation/arch/x86/boot.rst. Constants.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::boot {

inline constexpr std::size_t kBootFlag = 0x1fe;
inline constexpr std::size_t kMagic = 0x202;
inline constexpr std::size_t kVersion = 0x206;
inline constexpr std::size_t kLoadFlags = 0x211;

inline constexpr std::uint8_t kLoadedHigh = 1 << 0; // in the load flags

} // namespace godwit::boot
