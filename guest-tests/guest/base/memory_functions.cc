// SPDX-License-Identifier: Apache-2.0
// memcpy and friends, for calls that the compiler makes up; built with -fno-builtin so as not to call
// themselves.
#include "base/types.h"

extern "C" {
void* memcpy(void* to, const void* from, std::size_t size) {
    void* cursor = to;
    asm volatile("rep movsb" : "+D"(cursor), "+S"(from), "+c"(size)::"memory");
    return to;
}

void* memset(void* to, int value, std::size_t size) {
    void* cursor = to;
    asm volatile("rep stosb" : "+D"(cursor), "+c"(size) : "a"(value) : "memory");
    return to;
}

void* memmove(void* to, const void* from, std::size_t size) {
    auto* target = static_cast<char*>(to);
    const auto* source = static_cast<const char*>(from);
    if (target <= source || target >= source + size)
        return memcpy(to, from, size);
    while (size-- > 0)
        target[size] = source[size];
    return to;
}

int memcmp(const void* a, const void* b, std::size_t size) {
    const auto* left = static_cast<const unsigned char*>(a);
    const auto* right = static_cast<const unsigned char*>(b);
    for (std::size_t i = 0; i < size; ++i)
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    return 0;
}

std::size_t strlen(const char* text) {
    std::size_t size = 0;
    while (text[size] != 0)
        ++size;
    return size;
}

// Called for an abstract method: cannot happen, ends in an exception report.
void __cxa_pure_virtual() {
    __builtin_trap();
}
}
