// SPDX-License-Identifier: Apache-2.0
//
// A "cpu" record for tests: every field has a value of its own, and all of it is valid.
#pragma once

#include "vmm/kvm/state/cpu_schema.h"

namespace godwit::kvm {

inline CpuState sample_cpu() {
    CpuState s;
    std::uint64_t next = 0x1000;
    for (auto& reg : s.regs)
        reg = next++;
    s.eip = next++;
    s.eflags = 0x246;
    s.fpuc = 0x37f;
    s.fpus = 0x3820;
    s.fptag = 0xa5;
    for (auto& reg : s.fpregs)
        reg = {next++, static_cast<std::uint16_t>(next++)};
    for (auto& segment : s.segs)
        segment = {static_cast<std::uint32_t>(next++ & 0xffff), next++, 0xfffff, 0xc09300};
    s.segs[kCs].flags = 0xa09b00; // 64-bit code
    s.ldt = {0x30, next++, 0x10, 0};
    s.tr = {0x40, next++, 0x67, 0x8b00};
    s.gdt = {0, next++, 0x7f, 0};
    s.idt = {0, next++, 0xfff, 0};
    s.sysenter_cs = 0x10;
    s.sysenter_esp = next++;
    s.sysenter_eip = next++;
    s.cr0 = 0x80010033;
    s.cr2 = next++;
    s.cr3 = next << 12;
    s.cr4 = 0x620;
    s.dr = {next, next + 1, next + 2, next + 3, 0xffff0ff0, 0x400, 0xffff0ff0, 0x400};
    s.mxcsr = 0x1f80;
    for (auto& reg : s.xmm)
        reg = {next++, next++};
    s.efer = 0xd01;
    s.star = next++;
    s.lstar = next++;
    s.cstar = next++;
    s.fmask = next++;
    s.kernelgsbase = next++;
    s.smbase = 0x30000;
    s.pat = 0x0007040600070406;
    s.hflags2 = kHflag2Gif | kHflag2Vgif;
    for (auto& reg : s.mtrr_fixed)
        reg = next++;
    s.mtrr_deftype = 0xc06;
    for (auto& range : s.mtrr_var)
        range = {next++ << 12, (next++ << 12) | 0x800};
    s.tsc = next++;
    s.mcg_cap = 0x100010a;
    s.mcg_ctl = ~std::uint64_t{0};
    for (auto& bank : s.mce_banks)
        bank = next++;
    s.tsc_aux = next++;
    s.system_time_msr = (next++ << 12) | 1;
    s.wall_clock_msr = next++ << 12;
    s.xcr0 = 0x2e7;
    s.xstate_bv = 0x2e7;
    for (auto& reg : s.ymm_high)
        reg = {next++, next++};
    return s;
}

// With every subsection.
inline CpuState full_cpu() {
    CpuState s = sample_cpu();
    std::uint64_t next = 0x9000;
    each_extra(s, [&]<class Extra>(std::optional<Extra>& extra) {
        extra = Extra{static_cast<decltype(Extra::value)>(next++)};
    });
    s.fp_pointers = FpPointers{0x123, next++, next++};
    s.mpx.emplace();
    for (auto& bound : s.mpx->bounds)
        bound = {next++, next++};
    s.mpx->config_supervisor = next++;
    s.avx512.emplace();
    for (auto& mask : s.avx512->opmask)
        mask = next++;
    for (auto& reg : s.avx512->zmm_high)
        for (auto& word : reg)
            word = next++;
    for (auto& reg : s.avx512->zmm_upper)
        for (auto& word : reg)
            word = next++;
    s.tsc_khz = TscRate{2'000'000};
    s.pkru = PkruState{0x55555554};
    s.pdptrs = PdptrState{{next, next + 1, next + 2, next + 3}};
    s.triple_fault = TripleFaultState{1};
    return s;
}

} // namespace godwit::kvm
