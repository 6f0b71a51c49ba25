// SPDX-License-Identifier: Apache-2.0
//
// The model that nearly every host can give: x86-64-v2 (System V ABI for AMD64, "Microarchitecture levels"),
// what a guest in long mode needs anyway, and what KVM adds on every host since Linux 5.10.
#include "vmm/cpu/fields.h"
#include "vmm/cpu/portability.h"
#include "vmm/cpu/xsave.h"

#include <algorithm>

namespace godwit::cpu {

namespace {

constexpr std::uint32_t kLastBasicLeaf = 0xd;
constexpr std::uint32_t kLastExtendedLeaf = 0x80000008;
constexpr std::uint32_t kPhysicalBits = 40;
constexpr std::uint32_t kLinearBits = 48;

// Features that AMD repeats in leaf 0x80000001 from leaf 1.
constexpr std::uint32_t kRepeated = 0x0183'f3ff;

struct Allowed {
    std::uint32_t function;
    Register reg;
    std::uint32_t level; // x86-64-v2 itself: missing_of_baseline() tells what a host lacks of it
    std::uint32_t more;  // where the host has it
};
constexpr std::array kAllowed{
    // FPU TSC MSR CX8 CMOV MMX FXSR SSE SSE2; VME DE PSE PAE MCE APIC SEP MTRR PGE MCA PAT PSE36 CLFLUSH SS
    Allowed{0x1, Register::Edx,
            bit(0) | bit(4) | bit(5) | bit(8) | bit(15) | bit(23) | bit(24) | bit(25) | bit(26),
            bit(1) | bit(2) | bit(3) | bit(6) | bit(7) | bit(9) | bit(11) | bit(12) | bit(13) | bit(14) |
                bit(16) | bit(17) | bit(19) | bit(27)},
    // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT; x2APIC, TSC deadline, hypervisor
    Allowed{0x1, Register::Ecx, bit(0) | bit(9) | bit(13) | bit(19) | bit(20) | bit(23),
            bit(21) | bit(24) | bit(31)},
    Allowed{0x6, Register::Eax, 0, bit(2)},        // the LAPIC timer never stops
    Allowed{0x80000001, Register::Ecx, bit(0), 0}, // LAHF in long mode
    Allowed{0x80000001, Register::Edx, bit(11) | bit(20) | bit(29),
            kRepeated | bit(27)}, // SYSCALL NX LM; RDTSCP
    // Clocks, no I/O delay, async page faults, steal time, EOI, unhalt, a stable clock.
    Allowed{0x40000001, Register::Eax, 0,
            bit(0) | bit(1) | bit(3) | bit(4) | bit(5) | bit(6) | bit(7) | bit(24)},
};

std::uint32_t allowed_bits(const CpuidEntry& entry, Register reg) {
    for (const Allowed& allowed : kAllowed)
        if (allowed.function == entry.function && allowed.reg == reg)
            return allowed.level | allowed.more;
    return 0;
}

void restrict_entry(CpuidEntry& entry) {
    for (const Register reg : kRegisters) {
        std::uint32_t& value = entry.*member_of(reg);
        for (unsigned position = 0; position < 32; ++position)
            if (kind_of(entry.function, entry.index, reg, position) == Kind::Feature)
                value &= ~(bit(position) & ~allowed_bits(entry, reg));
    }
    if (entry.function == 0 || entry.function == 0x80000000)
        entry.eax = std::min(entry.eax, entry.function == 0 ? kLastBasicLeaf : kLastExtendedLeaf);
    if (entry.function == 0x80000008)
        entry.eax = std::min(entry.eax & 0xff, kPhysicalBits) | std::min(entry.eax >> 8 & 0xff, kLinearBits)
                                                                    << 8;
    if (entry.function == 0x80000008)
        entry.edx = 0;
}

} // namespace

CpuModel baseline(const CpuModel& host) {
    CpuModel model;
    for (const CpuidEntry& entry : host.cpuid) {
        const bool basic = entry.function <= kLastBasicLeaf;
        const bool of_kvm = entry.function >= 0x40000000 && entry.function < 0x80000000;
        const bool extended = entry.function >= 0x80000000 && entry.function <= kLastExtendedLeaf;
        if (!basic && !of_kvm && !extended)
            continue;
        model.cpuid.push_back(entry);
        restrict_entry(model.cpuid.back());
    }
    restrict_xsave(model.cpuid, 3);
    // Read whatever CPUID says: the microcode's revision stays, promises go. The capabilities are not told at
    // all.
    for (const MsrValue& msr : host.msrs)
        if (const FeatureMsr* const meaning = find_feature_msr(msr.index);
            meaning != nullptr && meaning->warnings == 0)
            model.msrs.push_back({msr.index, msr.value & ~meaning->promises});
    return model;
}

std::vector<std::string> missing_of_baseline(const CpuModel& host) {
    std::vector<std::string> missing;
    for (const Allowed& allowed : kAllowed) {
        const CpuidEntry* const entry = find_leaf(host.cpuid, allowed.function);
        const std::uint32_t has = entry != nullptr ? entry->*member_of(allowed.reg) : 0;
        for (unsigned position = 0; position < 32; ++position)
            if ((allowed.level & ~has & bit(position)) != 0)
                missing.emplace_back(bit_name(allowed.function, 0, allowed.reg, position));
    }
    return missing;
}

} // namespace godwit::cpu
