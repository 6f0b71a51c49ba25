// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): by folding where the CPU has AVX-512's carry-less
// multiplication, by the SSE4.2 instruction in three interleaved lanes where it has that, by tables
// elsewhere. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace godwit::migration {

// `seed` continues an earlier sum. The bytes may change while they are read (guest memory): the result is
// then that of some mixture.
// `next` is where the following sum will begin, as far as that is known: it is fetched into the cache
// meanwhile. It is never read; any address will do.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0,
                     const std::byte* next = nullptr);

// The ways of crc32c(), for tests. Precondition of the first two: that the CPU has what they need.
bool crc32c_has_folding();
std::uint32_t crc32c_by_folding(std::span<const std::byte> bytes, std::uint32_t seed,
                                const std::byte* next = nullptr);
bool crc32c_has_instruction();
std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes, std::uint32_t seed,
                                    const std::byte* next = nullptr);
std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t seed);

} // namespace godwit::migration
