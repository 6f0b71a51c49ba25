// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/crc32c.h"

#include "migration/protocol/crc32c_polynomial.h"

#include <array>
#include <cstring>
#include <nmmintrin.h>

namespace godwit::migration {

namespace {

constexpr std::array<std::array<std::uint32_t, 256>, 8> make_byte_tables() {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCrc32cPolynomial : 0);
        tables[0][byte] = crc;
    }
    for (std::size_t byte = 0; byte < 256; ++byte)
        for (std::size_t k = 1; k < 8; ++k)
            tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
    return tables;
}

constexpr auto kByteTables = make_byte_tables();

// A lane of 1360 bytes: three of them and two words are one page.
constexpr std::size_t kLaneBytes = 1360;
constexpr std::size_t kCacheLine = 64;
using ShiftTable = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr ShiftTable make_shift_table(std::uint64_t bytes) {
    const std::uint32_t factor = power_of_x(8 * bytes);
    ShiftTable table{};
    for (std::size_t k = 0; k < 4; ++k) {
        // Multiplication is linear: the eight single bits give all 256 values.
        for (std::uint32_t bit = 0; bit < 8; ++bit)
            table[k][std::size_t{1} << bit] = multiply_modulo(factor, std::uint32_t{1} << (8 * k + bit));
        for (std::size_t value = 1; value < 256; ++value)
            table[k][value] = table[k][value & (value - 1)] ^ table[k][value & (~value + 1)];
    }
    return table;
}

constexpr ShiftTable kShiftOneLane = make_shift_table(kLaneBytes);
constexpr ShiftTable kShiftTwoLanes = make_shift_table(2 * kLaneBytes);

std::uint32_t shift(const ShiftTable& table, std::uint32_t crc) {
    return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^
           table[3][crc >> 24];
}

std::uint64_t word_at(const std::byte* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

// Each of a lane's lines has three of the block that follows.
void fetch_lines(const std::byte* from, std::size_t line) {
    for (std::size_t k = 0; k < 3; ++k)
        _mm_prefetch(reinterpret_cast<const char*>(from) + (3 * line + k) * kCacheLine, _MM_HINT_T0);
}

} // namespace

bool crc32c_has_instruction() {
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) std::uint32_t
crc32c_by_instruction(std::span<const std::byte> bytes, std::uint32_t seed, const std::byte* next) {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t crc = ~seed;
    if (next == nullptr)
        next = at; // to look for what is nowhere takes time
    // The instruction has a latency of three cycles: three independent lanes keep it busy.
    for (; left >= 3 * kLaneBytes; left -= 3 * kLaneBytes, at += 3 * kLaneBytes) {
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        // Lanes that begin anew with each page are too short for the CPU to see where they are going: without
        // this, memory that is not in the cache is summed up at less than a third of the speed.
        const std::byte* const soon = left >= 6 * kLaneBytes ? at + 3 * kLaneBytes : next;
        for (std::size_t i = 0; i < kLaneBytes; i += 8) {
            if (i % kCacheLine == 0)
                fetch_lines(soon, i / kCacheLine);
            crc = _mm_crc32_u64(crc, word_at(at + i));
            second = _mm_crc32_u64(second, word_at(at + kLaneBytes + i));
            third = _mm_crc32_u64(third, word_at(at + 2 * kLaneBytes + i));
        }
        crc = shift(kShiftTwoLanes, static_cast<std::uint32_t>(crc)) ^
              shift(kShiftOneLane, static_cast<std::uint32_t>(second)) ^ third;
    }
    for (; left >= 8; left -= 8, at += 8)
        crc = _mm_crc32_u64(crc, word_at(at));
    auto narrow = static_cast<std::uint32_t>(crc);
    for (; left != 0; --left, ++at)
        narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(*at));
    return ~narrow;
}

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t seed) {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint32_t crc = ~seed;
    for (; left >= 8; left -= 8, at += 8) {
        const std::uint64_t word = word_at(at) ^ crc;
        crc = 0;
        for (std::size_t k = 0; k < 8; ++k)
            crc ^= kByteTables[7 - k][(word >> (8 * k)) & 0xff];
    }
    for (; left != 0; --left, ++at)
        crc = (crc >> 8) ^ kByteTables[0][(crc ^ static_cast<std::uint32_t>(*at)) & 0xff];
    return ~crc;
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed, const std::byte* next) {
    static const bool folding = crc32c_has_folding();
    static const bool instruction = crc32c_has_instruction();
    if (folding)
        return crc32c_by_folding(bytes, seed, next);
    return instruction ? crc32c_by_instruction(bytes, seed, next) : crc32c_by_table(bytes, seed);
}

} // namespace godwit::migration
