// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/zero_page.h"

#include "vmm/base/address.h"

#include <immintrin.h>

namespace godwit::migration {

namespace {

__attribute__((target("avx2"))) bool is_zero_avx2(const std::byte* page) {
    const auto* at = reinterpret_cast<const __m256i*>(page);
    const auto* const end = at + kPageSize / sizeof(__m256i);
    for (; at != end; at += 4) {
        const __m256i any = _mm256_or_si256(_mm256_or_si256(at[0], at[1]), _mm256_or_si256(at[2], at[3]));
        if (_mm256_testz_si256(any, any) == 0)
            return false;
    }
    return true;
}

bool is_zero_sse2(const std::byte* page) {
    const auto* at = reinterpret_cast<const __m128i*>(page);
    const auto* const end = at + kPageSize / sizeof(__m128i);
    for (; at != end; at += 4) {
        const __m128i any = _mm_or_si128(_mm_or_si128(at[0], at[1]), _mm_or_si128(at[2], at[3]));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(any, _mm_setzero_si128())) != 0xffff)
            return false;
    }
    return true;
}

} // namespace

bool is_zero_page(const std::byte* page) {
    static const bool avx2 = __builtin_cpu_supports("avx2") != 0;
    return avx2 ? is_zero_avx2(page) : is_zero_sse2(page);
}

} // namespace godwit::migration
