// SPDX-License-Identifier: Apache-2.0
//
// Bits of EFER. Reference: AMD64 APM volume 2, section 3.1.7. Constants.
#pragma once

#include <cstdint>

namespace godwit::kvm::efer {

inline constexpr std::uint64_t kLme = 1 << 8;
inline constexpr std::uint64_t kLma = 1 << 10;

} // namespace godwit::kvm::efer
