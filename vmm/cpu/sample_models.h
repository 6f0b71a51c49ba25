// SPDX-License-Identifier: Apache-2.0
//
// Processors for the tests: an Intel server with AVX-512, and a smaller one.
#pragma once

#include "vmm/cpu/cpuid.h"

namespace godwit::cpu::test {

inline CpuModel server() {
    return {{{0x0, 0, false, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69},
             {0x1, 0, false, 0x50654, 0x00020800, 0xf7fa3203 | 1u << 12, 0x0f8bfbff},
             {0x4, 0, true, 0x121, 0x01c0003f, 0x3f, 0},
             {0x6, 0, false, 0x4, 0, 0, 0},
             {0x7, 0, true, 1, 0xd19f0fbb, 0x00000818, 0xa4000000},
             {0x7, 1, true, 0x30, 0, 0, 0},
             {0xb, 0, true, 0, 1, 0x100, 0},
             {0xd, 0, true, 0x2e7, 0xa88, 0xa88, 0},
             {0xd, 1, true, 0xf, 0xa08, 0, 0},
             {0xd, 2, true, 0x100, 0x240, 0, 0},
             {0xd, 5, true, 0x40, 0x440, 0, 0},
             {0xd, 6, true, 0x200, 0x480, 0, 0},
             {0xd, 7, true, 0x400, 0x680, 0, 0},
             {0xd, 9, true, 0x8, 0xa80, 0, 0},
             {0x40000000, 0, false, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d},
             {0x40000001, 0, false, 0x01007efb, 0, 0, 0},
             {0x80000000, 0, false, 0x80000008, 0, 0, 0},
             {0x80000001, 0, false, 0, 0, 0x121, 0x2c100800},
             {0x80000008, 0, false, 0x302e, 0, 0, 0}},
            {{0x8b, 0x100000000}, {0xce, 0x80000000}, {0x10a, 0x2b}}};
}

// AVX2 but no AVX-512, protection keys elsewhere in the XSAVE area, narrower addresses, other immunities.
inline CpuModel small() {
    CpuModel model = server();
    find_leaf(model.cpuid, 0)->eax = 0xd;
    find_leaf(model.cpuid, 1)->eax = 0x306f2;
    find_leaf(model.cpuid, 7)->ebx = 0x009c0fbb;
    find_leaf(model.cpuid, 7, 1)->eax = 0x10;
    CpuidEntry* const xsave = find_leaf(model.cpuid, 0xd);
    xsave->eax = 0x207;
    xsave->ebx = xsave->ecx = 0x348;
    std::erase_if(model.cpuid, [](const CpuidEntry& entry) {
        return (entry.function == 0xd && entry.index >= 5 && entry.index <= 7) || entry.function == 0xb;
    });
    find_leaf(model.cpuid, 0xd, 9)->ebx = 0x340;
    find_leaf(model.cpuid, 0x80000008)->eax = 0x302a;
    model.msrs = {{0x8b, 0x200000000}, {0xce, 0}, {0x10a, 0x0c}};
    return model;
}

} // namespace godwit::cpu::test
