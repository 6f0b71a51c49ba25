// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/assist/instructions.h"

#include <array>
#include <bit>
#include <cstring>

namespace godwit::kvm {

namespace {

void set_flag(CpuImage& cpu, std::uint64_t flag, bool on) {
    cpu.rflags = on ? cpu.rflags | flag : cpu.rflags & ~flag;
}

Carried int3(const Context& context) {
    return raise(context.cpu, exception::kBreakpoint);
}

Carried popcnt(const Context& c) {
    std::uint64_t source = 0;
    if (c.instruction.is_memory(1)) {
        std::array<std::byte, 8> bytes{};
        const auto part = std::span{bytes}.first(c.instruction.operand_bytes(1));
        if (const Reached reached = c.memory.read(c.instruction.address(1, c.cpu), part);
            reached != Reached::Done)
            return carried(reached);
        std::memcpy(&source, bytes.data(), sizeof source);
    } else {
        source = c.instruction.get(1, c.cpu);
    }
    c.instruction.set(0, c.cpu, static_cast<std::uint64_t>(std::popcount(source)));
    set_flag(c.cpu, rflags::kOf | rflags::kSf | rflags::kAf | rflags::kCf | rflags::kPf, false);
    set_flag(c.cpu, rflags::kZf, source == 0);
    return Carried::Out;
}

// Another vCPU may look at the same place: the exchange is one operation, whether LOCK was written or not.
bool exchange_if_equal(std::byte* at, std::uint64_t& low, std::uint64_t& high, std::uint64_t new_low,
                       std::uint64_t new_high) {
    bool equal = false;
    asm volatile("lock cmpxchg16b %[memory]"
                 : [memory] "+m"(*reinterpret_cast<std::array<std::uint64_t, 2>*>(at)), "+a"(low), "+d"(high),
                   "=@ccz"(equal)
                 : "b"(new_low), "c"(new_high)
                 : "memory");
    return equal;
}

Carried cmpxchg16b(const Context& c) {
    const std::uint64_t address = c.instruction.address(0, c.cpu);
    if (address % 16 != 0)
        return raise(c.cpu, exception::kGeneralProtection);
    Gpa gpa{};
    if (const Reached reached = c.memory.locate(address, 16, Access::Write, gpa); reached != Reached::Done)
        return carried(reached);
    const auto slice = c.memory.ram().writable(gpa, 16);
    if (!slice.ok())
        return Carried::NotOurs;
    const bool equal = exchange_if_equal(slice->for_kernel(), c.cpu.gpr[kRax], c.cpu.gpr[kRdx],
                                         c.cpu.gpr[kRbx], c.cpu.gpr[kRcx]);
    slice->wrote(16);
    set_flag(c.cpu, rflags::kZf, equal);
    return Carried::Out;
}

Carried clac(const Context& c) {
    if (c.cpu.cpl != 0)
        return raise(c.cpu, exception::kInvalidOpcode);
    set_flag(c.cpu, rflags::kAc, false);
    return Carried::Out;
}

Carried stac(const Context& c) {
    if (c.cpu.cpl != 0)
        return raise(c.cpu, exception::kInvalidOpcode);
    set_flag(c.cpu, rflags::kAc, true);
    return Carried::Out;
}

Carried fwait(const Context& c) {
    constexpr std::uint16_t kErrorSummary = 1 << 7;
    if ((c.cpu.cr0 & cr0::kMp) != 0 && (c.cpu.cr0 & cr0::kTs) != 0)
        return raise(c.cpu, exception::kDeviceNotAvailable);
    if ((fpu_status(c.cpu) & kErrorSummary) == 0)
        return Carried::Out;
    // Without NE the error is an interrupt of a chip that this machine does not have.
    return (c.cpu.cr0 & cr0::kNe) != 0 ? raise(c.cpu, exception::kX87) : Carried::NotOurs;
}

std::optional<CpuException> sse_refused(const CpuImage& cpu) {
    if ((cpu.cr0 & cr0::kEm) != 0 || (cpu.cr4 & cr4::kOsfxsr) == 0)
        return exception::kInvalidOpcode;
    if ((cpu.cr0 & cr0::kTs) != 0)
        return exception::kDeviceNotAvailable;
    return std::nullopt;
}

Carried ldmxcsr(const Context& c) {
    if (const auto why = sse_refused(c.cpu))
        return raise(c.cpu, *why);
    std::uint32_t value = 0;
    if (const Reached reached =
            c.memory.read(c.instruction.address(0, c.cpu), std::as_writable_bytes(std::span{&value, 1}));
        reached != Reached::Done)
        return carried(reached);
    return set_mxcsr(c.cpu, value) ? Carried::Out : raise(c.cpu, exception::kGeneralProtection);
}

Carried stmxcsr(const Context& c) {
    if (const auto why = sse_refused(c.cpu))
        return raise(c.cpu, *why);
    const std::uint32_t value = mxcsr(c.cpu);
    return carried(c.memory.write(c.instruction.address(0, c.cpu), std::as_bytes(std::span{&value, 1})));
}

Carried rdtscp(const Context& c) {
    c.cpu.gpr[kRax] = c.cpu.tsc & kLow32;
    c.cpu.gpr[kRdx] = c.cpu.tsc >> 32;
    c.cpu.gpr[kRcx] = c.cpu.tsc_aux;
    return Carried::Out;
}

Carried rdpid(const Context& c) {
    c.instruction.set(0, c.cpu, c.cpu.tsc_aux);
    return Carried::Out;
}

// Whatever it asks to forget, forgetting all is right.
Carried invpcid(const Context& c) {
    constexpr std::uint64_t kTypes = 4;
    std::array<std::uint64_t, 2> descriptor{}; // PCID, and bits that must be 0; linear address
    if (c.cpu.cpl != 0 || c.instruction.get(0, c.cpu) >= kTypes)
        return raise(c.cpu, exception::kGeneralProtection);
    if (const Reached reached =
            c.memory.read(c.instruction.address(1, c.cpu), std::as_writable_bytes(std::span{descriptor}));
        reached != Reached::Done)
        return carried(reached);
    if (descriptor[0] >> 12 != 0)
        return raise(c.cpu, exception::kGeneralProtection);
    c.cpu.flush_tlb = true;
    return Carried::Out;
}

// RAM that a file backs is written back by the host.
Carried clwb(const Context& c) {
    std::byte byte{};
    return carried(c.memory.read(c.instruction.address(0, c.cpu), std::span{&byte, 1}));
}

Carried save(const Context& c) {
    return xsave(c.instruction, c.layout, c.cpu, c.memory);
}
Carried restore(const Context& c) {
    return xrstor(c.instruction, c.layout, c.cpu, c.memory);
}
Carried get_xcr(const Context& c) {
    return xgetbv(c.cpu);
}
Carried set_xcr(const Context& c) {
    return xsetbv(c.layout, c.cpu);
}

constexpr AssistedInstruction kInstructions[]{
    {ZYDIS_MNEMONIC_INT3, Needs::Nothing, int3},
    {ZYDIS_MNEMONIC_POPCNT, Needs::Nothing, popcnt},
    {ZYDIS_MNEMONIC_CMPXCHG16B, Needs::Nothing, cmpxchg16b},
    {ZYDIS_MNEMONIC_CLAC, Needs::Nothing, clac},
    {ZYDIS_MNEMONIC_STAC, Needs::Nothing, stac},
    {ZYDIS_MNEMONIC_CLWB, Needs::Nothing, clwb},
    {ZYDIS_MNEMONIC_INVPCID, Needs::Nothing, invpcid},
    {ZYDIS_MNEMONIC_RDTSCP, Needs::Tsc, rdtscp},
    {ZYDIS_MNEMONIC_RDPID, Needs::Tsc, rdpid},
    {ZYDIS_MNEMONIC_FWAIT, Needs::Xsave, fwait},
    {ZYDIS_MNEMONIC_LDMXCSR, Needs::Xsave, ldmxcsr},
    {ZYDIS_MNEMONIC_STMXCSR, Needs::Xsave, stmxcsr},
    {ZYDIS_MNEMONIC_XGETBV, Needs::Xsave, get_xcr},
    {ZYDIS_MNEMONIC_XSETBV, Needs::Xsave, set_xcr},
    {ZYDIS_MNEMONIC_XSAVE, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVE64, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVEOPT, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVEOPT64, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVEC, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVEC64, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVES, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XSAVES64, Needs::Xsave, save},
    {ZYDIS_MNEMONIC_XRSTOR, Needs::Xsave, restore},
    {ZYDIS_MNEMONIC_XRSTOR64, Needs::Xsave, restore},
    {ZYDIS_MNEMONIC_XRSTORS, Needs::Xsave, restore},
    {ZYDIS_MNEMONIC_XRSTORS64, Needs::Xsave, restore},
};

} // namespace

const AssistedInstruction* assisted(ZydisMnemonic mnemonic) {
    for (const AssistedInstruction& one : kInstructions)
        if (one.mnemonic == mnemonic)
            return &one;
    return nullptr;
}

Carried carry_out(const AssistedInstruction& assisted, const Context& context) {
    const Carried result = assisted.carry_out(context);
    // INT3 is a trap: it returns to what follows it. Faults return to the instruction.
    const bool trap = result == Carried::Raised && context.cpu.raised == exception::kBreakpoint;
    if (result == Carried::Out || trap)
        context.cpu.rip += context.instruction.length();
    return result;
}

} // namespace godwit::kvm
