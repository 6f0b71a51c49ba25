// SPDX-License-Identifier: Apache-2.0
#pragma once
// Byte orders that are not ours: Big<T> is big-endian memory, ByteOrder is known only at run time.
#include "base/types.h"

#include <bit>

namespace guest {

template <class T>
constexpr T swap_bytes(T value) {
    if constexpr (sizeof(T) == 8)
        return static_cast<T>(__builtin_bswap64(value));
    else if constexpr (sizeof(T) == 4)
        return static_cast<T>(__builtin_bswap32(value));
    else if constexpr (sizeof(T) == 2)
        return static_cast<T>(__builtin_bswap16(value));
    else
        return value;
}

template <class T>
class Big {
  public:
    constexpr Big() = default;
    constexpr Big(T value) : stored_(swap_bytes(value)) {}
    constexpr operator T() const { return swap_bytes(stored_); }

  private:
    T stored_ = 0;
};

// Works in both directions: order(value) is what to store, or what a stored value means.
struct ByteOrder {
    bool big = false;

    template <class T>
    constexpr T operator()(T value) const {
        return big ? swap_bytes(value) : value;
    }
};

} // namespace guest
