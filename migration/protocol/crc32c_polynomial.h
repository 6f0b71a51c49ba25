// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic modulo the polynomial of CRC-32C, as a CRC's register has it: bit 31 is the coefficient of x^0.
// At compile time, for the constants of the different ways to a sum.
#pragma once

#include <cstdint>

namespace godwit::migration {

inline constexpr std::uint32_t kCrc32cPolynomial = 0x82f63b78; // reflected

constexpr std::uint32_t multiply_modulo(std::uint32_t a, std::uint32_t b) {
    std::uint32_t product = 0;
    for (std::uint32_t mask = std::uint32_t{1} << 31; mask != 0; mask >>= 1) {
        if ((a & mask) != 0)
            product ^= b;
        b = (b >> 1) ^ ((b & 1) != 0 ? kCrc32cPolynomial : 0);
    }
    return product;
}

// x^n: what a register is multiplied by when n zero bits follow.
constexpr std::uint32_t power_of_x(std::uint64_t n) {
    std::uint32_t power = std::uint32_t{1} << 31;  // x^0
    std::uint32_t square = std::uint32_t{1} << 30; // x^1
    for (; n != 0; n >>= 1) {
        if ((n & 1) != 0)
            power = multiply_modulo(power, square);
        square = multiply_modulo(square, square);
    }
    return power;
}

} // namespace godwit::migration
