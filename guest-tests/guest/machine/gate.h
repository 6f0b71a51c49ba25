// SPDX-License-Identifier: Apache-2.0
#pragma once
// What CPL3 asks of CPL0, through INT3 (boot/vectors.S).
#include "base/types.h"
#include "boot/layout.h"

namespace guest::gate {

// Halts until the next interrupt, unless `counter` has already moved away from `seen`.
inline void halt_unless_changed(const volatile u32* counter, u32 seen) {
    asm volatile("int3" ::"a"(u64{GATE_HALT_UNLESS}), "D"(counter), "S"(seen) : "memory", "cc");
}

inline u64 read_msr(u32 msr) {
    u64 low = GATE_READ_MSR, high;
    asm volatile("int3" : "+a"(low), "=d"(high) : "c"(msr) : "memory");
    return high << 32 | (low & 0xffffffff);
}

inline void write_msr(u32 msr, u64 value) {
    u64 number = GATE_WRITE_MSR;
    asm volatile("int3" : "+a"(number) : "c"(msr), "D"(value & 0xffffffff), "d"(value >> 32) : "memory");
}

inline void write_ioapic(u32 index, u32 value) {
    u64 number = GATE_WRITE_IOAPIC;
    asm volatile("int3" : "+a"(number) : "c"(index), "D"(value) : "memory");
}

struct CpuidLeaf {
    u32 eax, ebx, ecx, edx;
};

inline CpuidLeaf cpuid(u32 function, u32 index) {
    u64 a = GATE_CPUID, b, c = index, d;
    asm volatile("int3" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : "D"(function) : "memory");
    return {static_cast<u32>(a), static_cast<u32>(b), static_cast<u32>(c), static_cast<u32>(d)};
}

[[noreturn]] inline void stop() {
    asm volatile("int3" ::"a"(u64{GATE_STOP}) : "memory");
    __builtin_unreachable();
}

[[noreturn]] inline void triple_fault() {
    asm volatile("int3" ::"a"(u64{GATE_TRIPLE_FAULT}) : "memory");
    __builtin_unreachable();
}

} // namespace guest::gate
