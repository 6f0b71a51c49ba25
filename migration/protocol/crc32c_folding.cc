// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C by folding: 256 bytes at a time are multiplied to where the next 256 are, and added to these, by
// the carry-less multiplication of AVX-512. What is left has the same remainder as all of it. Reference:
// V. Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel,
// 2009; section "bit-reflected data". All of the memory is read once, in order.
#include "migration/protocol/crc32c.h"
#include "migration/protocol/crc32c_polynomial.h"

#include <cstring>
#include <immintrin.h>

#define GODWIT_FOLDING __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))

namespace godwit::migration {

namespace {

constexpr std::size_t kBlock = 256; // four vectors
constexpr std::size_t kVector = 64;

// A product of two reflected words has x once too often, so the factors have it once less.
struct Factors {
    long long low;  // of the word that comes first, which stands for x^64 times as much
    long long high; // of the other
};
constexpr Factors factors(std::uint64_t bits) {
    return {static_cast<long long>(std::uint64_t{power_of_x(bits + 63)} << 32),
            static_cast<long long>(std::uint64_t{power_of_x(bits - 1)} << 32)};
}

constexpr Factors kOneBlock = factors(2048);
constexpr Factors kOneVector = factors(512);
constexpr Factors kThreeLanes = factors(384);
constexpr Factors kTwoLanes = factors(256);
constexpr Factors kOneLane = factors(128);

GODWIT_FOLDING __m512i load(const std::byte* at) {
    return _mm512_loadu_si512(at);
}

GODWIT_FOLDING __m512i in_each_lane(Factors by) {
    return _mm512_set_epi64(by.high, by.low, by.high, by.low, by.high, by.low, by.high, by.low);
}

// What `from` is where `to` is, added to it.
GODWIT_FOLDING __m512i fold(__m512i from, __m512i by, __m512i to) {
    constexpr int kXorOfThree = 0x96;
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(from, by, 0x00),
                                     _mm512_clmulepi64_epi128(from, by, 0x11), to, kXorOfThree);
}

// The four lanes of a vector, all where the last one is.
GODWIT_FOLDING __m128i fold_lanes(__m512i vector) {
    const __m512i by = _mm512_set_epi64(0, 0, kOneLane.high, kOneLane.low, kTwoLanes.high, kTwoLanes.low,
                                        kThreeLanes.high, kThreeLanes.low);
    const __m512i folded = fold(vector, by, _mm512_setzero_si512());
    const __m128i first =
        _mm_xor_si128(_mm512_extracti32x4_epi32(folded, 0), _mm512_extracti32x4_epi32(folded, 1));
    const __m128i last =
        _mm_xor_si128(_mm512_extracti32x4_epi32(folded, 2), _mm512_extracti32x4_epi32(vector, 3));
    return _mm_xor_si128(first, last);
}

GODWIT_FOLDING void fetch_block(const std::byte* at) {
    for (std::size_t i = 0; i < kBlock; i += kVector)
        _mm_prefetch(reinterpret_cast<const char*>(at) + i, _MM_HINT_T0);
}

} // namespace

bool crc32c_has_folding() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("vpclmulqdq") != 0 &&
           crc32c_has_instruction();
}

GODWIT_FOLDING std::uint32_t crc32c_by_folding(std::span<const std::byte> bytes, std::uint32_t seed,
                                               const std::byte* next) {
    if (bytes.size() < kBlock)
        return crc32c_by_instruction(bytes, seed, next);
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    if (next == nullptr)
        next = at; // to look for what is nowhere takes time
    const __m512i before = _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~seed)));
    __m512i a = _mm512_xor_si512(load(at), before);
    __m512i b = load(at + kVector);
    __m512i c = load(at + 2 * kVector);
    __m512i d = load(at + 3 * kVector);
    const __m512i by_block = in_each_lane(kOneBlock);
    for (;;) {
        fetch_block(next);
        next += kBlock;
        at += kBlock;
        left -= kBlock;
        if (left < kBlock)
            break;
        a = fold(a, by_block, load(at));
        b = fold(b, by_block, load(at + kVector));
        c = fold(c, by_block, load(at + 2 * kVector));
        d = fold(d, by_block, load(at + 3 * kVector));
    }
    const __m512i by_vector = in_each_lane(kOneVector);
    d = fold(fold(fold(a, by_vector, b), by_vector, c), by_vector, d);
    const __m128i rest = fold_lanes(d);
    std::uint64_t crc = _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(rest)));
    crc = _mm_crc32_u64(crc, static_cast<std::uint64_t>(_mm_extract_epi64(rest, 1)));
    const auto so_far = static_cast<std::uint32_t>(crc);
    return left == 0 ? ~so_far : crc32c_by_instruction({at, left}, ~so_far);
}

} // namespace godwit::migration
