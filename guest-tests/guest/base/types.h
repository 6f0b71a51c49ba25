// SPDX-License-Identifier: Apache-2.0
#pragma once
// Short names of the fixed-width integers, and the memory functions that the compiler expects to find.
#include <cstddef>
#include <cstdint>

namespace guest {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
__extension__ using u128 = unsigned __int128;

constexpr u64 KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB;
constexpr u64 page_size = 4096;

constexpr u64 align_up(u64 value, u64 alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}
constexpr u64 align_down(u64 value, u64 alignment) {
    return value & ~(alignment - 1);
}
} // namespace guest

#if __STDC_HOSTED__ // what the programs write and check is also compiled for the host (guest-tests/plain)
#include <cstring>
#else
extern "C" {
void* memcpy(void* to, const void* from, std::size_t size);
void* memset(void* to, int value, std::size_t size);
void* memmove(void* to, const void* from, std::size_t size);
int memcmp(const void* a, const void* b, std::size_t size);
std::size_t strlen(const char* text);
}
#endif
