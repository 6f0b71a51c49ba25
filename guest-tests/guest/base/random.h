// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pseudo-random numbers: a seekable stream for page and block contents, and a small generator for choices.
#include "base/types.h"

namespace guest {

// Word `index` of the stream `seed`.  Incompressible, and each word costs one multiplication.
constexpr u64 mix(u64 seed, u64 index) {
    u64 z = seed + (index + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 31)) * 0xd6e8feb86659fd93;
    return z ^ (z >> 32);
}

class Random {
  public:
    constexpr explicit Random(u64 seed) : seed_(seed) {}
    constexpr u64 next() { return mix(seed_, count_++); }
    constexpr u64 below(u64 limit) { return static_cast<u64>((u128{next()} * limit) >> 64); }

  private:
    u64 seed_;
    u64 count_ = 0;
};

} // namespace guest
