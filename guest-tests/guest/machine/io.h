// SPDX-License-Identifier: Apache-2.0
#pragma once
// Ports, memory-mapped registers, barriers, CPUID and the time stamp counter.
// Registers are read and written by one plain mov of their width: hosts that emulate MMIO know little else.
#include "base/types.h"

namespace guest {

inline void out8(u16 port, u8 value) {
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
inline u8 in8(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

template <class T>
T read_register(u64 address) {
    T value;
    asm volatile("mov %1, %0" : "=r"(value) : "m"(*reinterpret_cast<volatile T*>(address)) : "memory");
    return value;
}
template <class T>
void write_register(u64 address, T value) {
    asm volatile("mov %1, %0" : "=m"(*reinterpret_cast<volatile T*>(address)) : "r"(value) : "memory");
}

inline void compiler_barrier() {
    asm volatile("" ::: "memory");
}
inline void full_barrier() {
    asm volatile("mfence" ::: "memory");
}

inline u64 read_tsc() {
    u32 low, high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return u64{high} << 32 | low;
}

struct CpuidLeaf {
    u32 eax, ebx, ecx, edx;
};
inline CpuidLeaf cpuid(u32 leaf) {
    CpuidLeaf r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
    return r;
}

} // namespace guest
