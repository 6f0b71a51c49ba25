// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/assist/xsave.h"

#include <algorithm>
#include <cstring>

namespace godwit::kvm {

namespace {

constexpr std::uint64_t kX87 = 1, kSse = 1 << 1, kAvx = 1 << 2, kCompacted = std::uint64_t{1} << 63;
constexpr std::uint64_t kAvx512 = 7 << 5;

// Of the legacy region and the header.
constexpr std::size_t kFsw = 2, kMxcsr = 24, kMxcsrMask = 28, kX87End = 160, kSseEnd = 416, kHeader = 512,
                      kXcompBv = kHeader + 8, kReserved = kHeader + 16, kExtended = 576;
constexpr std::uint32_t kMxcsrDefault = 0x1f80;
constexpr std::uint32_t kMxcsrReserved = 0xffff'0000;

struct CpuidAnswer {
    std::uint32_t eax, ebx, ecx, edx;
};
CpuidAnswer cpuid(std::uint32_t leaf, std::uint32_t index = 0) {
    CpuidAnswer answer{};
    asm("cpuid"
        : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
        : "a"(leaf), "c"(index));
    return answer;
}

template <class T>
T load(const std::vector<std::byte>& from, std::size_t offset) {
    T value;
    std::memcpy(&value, from.data() + offset, sizeof value);
    return value;
}
template <class T>
void store(std::vector<std::byte>& to, std::size_t offset, T value) {
    std::memcpy(to.data() + offset, &value, sizeof value);
}
std::uint64_t xstate_bv(const std::vector<std::byte>& area) {
    return load<std::uint64_t>(area, kHeader);
}

// What must hold for every instruction of the family but XGETBV and XSETBV.
std::optional<CpuException> refused(const CpuImage& cpu, std::uint64_t address) {
    if ((cpu.cr4 & cr4::kOsxsave) == 0)
        return exception::kInvalidOpcode;
    if ((cpu.cr0 & cr0::kTs) != 0)
        return exception::kDeviceNotAvailable;
    if (address % 64 != 0)
        return exception::kGeneralProtection;
    return std::nullopt;
}

std::uint64_t requested(const CpuImage& cpu) {
    const std::uint64_t mask = (cpu.gpr[kRdx] << 32) | (cpu.gpr[kRax] & 0xffff'ffff);
    return mask & cpu.xcr0;
}

// Where each component of `format` is in the compacted format, and where the area ends.
struct Compacted {
    std::array<std::uint32_t, 63> offset{};
    std::uint32_t end = kExtended;
    Compacted(const XsaveAreas& layout, std::uint64_t format) {
        for (std::size_t i = 2; i < offset.size(); ++i) {
            if ((format >> i & 1) == 0)
                continue;
            if (layout.components[i].aligned)
                end = (end + 63) & ~std::uint32_t{63};
            offset[i] = end;
            end += layout.components[i].size;
        }
    }
};

// Pieces of x87 and SSE state; MXCSR has rules of its own.
struct Piece {
    std::size_t from;
    std::size_t to;
};
constexpr Piece kX87Pieces[] = {{0, kMxcsr}, {kMxcsrMask + 4, kX87End}};
constexpr Piece kSsePieces[] = {{kX87End, kSseEnd}};

bool is_compacting(ZydisMnemonic mnemonic) {
    return mnemonic == ZYDIS_MNEMONIC_XSAVEC || mnemonic == ZYDIS_MNEMONIC_XSAVEC64 ||
           mnemonic == ZYDIS_MNEMONIC_XSAVES || mnemonic == ZYDIS_MNEMONIC_XSAVES64;
}

bool needs_cpl0(ZydisMnemonic mnemonic) {
    return mnemonic == ZYDIS_MNEMONIC_XSAVES || mnemonic == ZYDIS_MNEMONIC_XSAVES64 ||
           mnemonic == ZYDIS_MNEMONIC_XRSTORS || mnemonic == ZYDIS_MNEMONIC_XRSTORS64;
}

} // namespace

XsaveAreas host_xsave_areas() {
    XsaveAreas layout;
    if (cpuid(0).eax < 0xd)
        return layout;
    const CpuidAnswer whole = cpuid(0xd);
    layout.supported = whole.eax | std::uint64_t{whole.edx} << 32;
    for (std::uint32_t i = 2; i < layout.components.size(); ++i) {
        if ((layout.supported >> i & 1) == 0)
            continue;
        const CpuidAnswer one = cpuid(0xd, i);
        if (std::size_t{one.eax} + one.ebx <= kXsaveImage)
            layout.components[i] = {one.ebx, one.eax, (one.ecx & 2) != 0};
        else
            layout.supported &= ~(std::uint64_t{1} << i);
    }
    return layout;
}

Carried raise(CpuImage& cpu, CpuException what) {
    cpu.raised = what;
    return Carried::Raised;
}

Carried carried(Reached reached) {
    switch (reached) {
    case Reached::Done:
        return Carried::Out;
    case Reached::Faulted:
        return Carried::Raised;
    case Reached::NotOurs:
        break;
    }
    return Carried::NotOurs;
}

std::uint32_t mxcsr(const CpuImage& cpu) {
    return load<std::uint32_t>(cpu.xsave, kMxcsr);
}

bool set_mxcsr(CpuImage& cpu, std::uint32_t value) {
    if ((value & kMxcsrReserved) != 0)
        return false;
    store(cpu.xsave, kMxcsr, value);
    cpu.xsave_changed = true;
    return true;
}

std::uint16_t fpu_status(const CpuImage& cpu) {
    return load<std::uint16_t>(cpu.xsave, kFsw);
}

Carried xsave(const Instruction& instruction, const XsaveAreas& layout, CpuImage& cpu, LinearMemory& memory) {
    const std::uint64_t address = instruction.address(0, cpu);
    if (const auto why = refused(cpu, address))
        return raise(cpu, *why);
    if (needs_cpl0(instruction.mnemonic()) && cpu.cpl != 0)
        return raise(cpu, exception::kGeneralProtection);
    const bool compact = is_compacting(instruction.mnemonic());
    const std::uint64_t wanted = requested(cpu);
    std::uint64_t in_use = xstate_bv(cpu.xsave) & wanted;
    if (compact && mxcsr(cpu) != kMxcsrDefault)
        in_use |= wanted & kSse;
    const Compacted places{layout, compact ? wanted : 0};
    std::size_t end = kExtended;
    for (std::size_t i = 2; i < layout.components.size(); ++i)
        if ((wanted >> i & 1) != 0)
            end = std::max<std::size_t>(
                end, compact ? places.end : layout.components[i].offset + layout.components[i].size);
    // What is not saved keeps what it had.
    std::vector<std::byte> area(end);
    if (const Reached reached = memory.read(address, area); reached != Reached::Done)
        return carried(reached);
    const auto put = [&](std::size_t to, std::size_t from, std::size_t size) {
        std::memcpy(area.data() + to, cpu.xsave.data() + from, size);
    };
    // The compacted forms leave out what is in its initial state.
    const std::uint64_t saved = compact ? in_use : wanted;
    if ((saved & kX87) != 0)
        for (const Piece& piece : kX87Pieces)
            put(piece.from, piece.from, piece.to - piece.from);
    if ((saved & kSse) != 0)
        for (const Piece& piece : kSsePieces)
            put(piece.from, piece.from, piece.to - piece.from);
    if (compact ? (saved & kSse) != 0 : (wanted & (kSse | kAvx)) != 0)
        put(kMxcsr, kMxcsr, 8);
    for (std::size_t i = 2; i < layout.components.size(); ++i)
        if ((saved >> i & 1) != 0 && layout.components[i].size != 0)
            put(compact ? places.offset[i] : layout.components[i].offset, layout.components[i].offset,
                layout.components[i].size);
    if (compact) {
        store(area, kHeader, in_use);
        store(area, kXcompBv, wanted | kCompacted);
    } else {
        store(area, kHeader, (xstate_bv(area) & ~wanted) | in_use);
    }
    return carried(memory.write(address, area));
}

Carried xrstor(const Instruction& instruction, const XsaveAreas& layout, CpuImage& cpu,
               LinearMemory& memory) {
    const std::uint64_t address = instruction.address(0, cpu);
    if (const auto why = refused(cpu, address))
        return raise(cpu, *why);
    if (needs_cpl0(instruction.mnemonic()) && cpu.cpl != 0)
        return raise(cpu, exception::kGeneralProtection);
    std::vector<std::byte> area(kExtended);
    if (const Reached reached = memory.read(address, area); reached != Reached::Done)
        return carried(reached);
    const std::uint64_t held = xstate_bv(area);
    const auto format = load<std::uint64_t>(area, kXcompBv);
    const bool compact = (format & kCompacted) != 0;
    const bool reserved_clear = std::all_of(area.begin() + kReserved, area.begin() + kExtended,
                                            [](std::byte byte) { return byte == std::byte{0}; });
    const bool standard_clear = format == 0 && load<std::uint64_t>(area, kReserved) == 0;
    if (needs_cpl0(instruction.mnemonic()) && !compact)
        return raise(cpu, exception::kGeneralProtection);
    if (compact ? (format & ~kCompacted & ~cpu.xcr0) != 0 || (held & ~format) != 0 || !reserved_clear
                : (held & ~cpu.xcr0) != 0 || !standard_clear)
        return raise(cpu, exception::kGeneralProtection);

    const std::uint64_t wanted = requested(cpu);
    const Compacted places{layout, compact ? format & ~kCompacted : 0};
    const std::uint64_t loaded = wanted & held;
    std::size_t end = kExtended;
    for (std::size_t i = 2; i < layout.components.size(); ++i)
        if ((loaded >> i & 1) != 0)
            end = std::max<std::size_t>(end, (compact ? places.offset[i] : layout.components[i].offset) +
                                                 layout.components[i].size);
    area.resize(end);
    if (const Reached reached = memory.read(address, area); reached != Reached::Done)
        return carried(reached);

    // MXCSR comes with SSE or AVX, in the standard format even when both are in their initial state.
    const bool takes_mxcsr = compact ? (loaded & kSse) != 0 : (wanted & (kSse | kAvx)) != 0;
    const auto new_mxcsr = takes_mxcsr ? load<std::uint32_t>(area, kMxcsr) : kMxcsrDefault;
    if ((new_mxcsr & kMxcsrReserved) != 0)
        return raise(cpu, exception::kGeneralProtection);
    std::vector<std::byte>& state = cpu.xsave;
    const auto take = [&](std::uint64_t component, std::size_t to, std::size_t from, std::size_t size) {
        if ((loaded & component) != 0)
            std::memcpy(state.data() + to, area.data() + from, size);
        else if ((wanted & component) != 0)
            std::memset(state.data() + to, 0, size);
    };
    for (const Piece& piece : kX87Pieces)
        take(kX87, piece.from, piece.from, piece.to - piece.from);
    if ((wanted & kX87) != 0 && (loaded & kX87) == 0)
        store<std::uint16_t>(state, 0, 0x37f); // FCW as FNINIT leaves it
    for (const Piece& piece : kSsePieces)
        take(kSse, piece.from, piece.from, piece.to - piece.from);
    if (takes_mxcsr || (wanted & kSse) != 0)
        store(state, kMxcsr, new_mxcsr);
    for (std::size_t i = 2; i < layout.components.size(); ++i)
        if (const auto& component = layout.components[i]; component.size != 0)
            take(std::uint64_t{1} << i, component.offset, compact ? places.offset[i] : component.offset,
                 component.size);
    store(state, kHeader, (xstate_bv(state) & ~wanted) | loaded);
    cpu.xsave_changed = true;
    return Carried::Out;
}

Carried xgetbv(CpuImage& cpu) {
    if ((cpu.cr4 & cr4::kOsxsave) == 0)
        return raise(cpu, exception::kInvalidOpcode);
    const auto index = static_cast<std::uint32_t>(cpu.gpr[kRcx]);
    if (index > 1)
        return raise(cpu, exception::kGeneralProtection);
    const std::uint64_t value = index == 0 ? cpu.xcr0 : cpu.xcr0 & xstate_bv(cpu.xsave);
    cpu.gpr[kRax] = value & 0xffff'ffff;
    cpu.gpr[kRdx] = value >> 32;
    return Carried::Out;
}

Carried xsetbv(const XsaveAreas& layout, CpuImage& cpu) {
    if ((cpu.cr4 & cr4::kOsxsave) == 0)
        return raise(cpu, exception::kInvalidOpcode);
    const std::uint64_t value = (cpu.gpr[kRdx] << 32) | (cpu.gpr[kRax] & 0xffff'ffff);
    const bool avx512 = (value & kAvx512) != 0;
    if (cpu.cpl != 0 || static_cast<std::uint32_t>(cpu.gpr[kRcx]) != 0 || (value & kX87) == 0 ||
        (value & ~layout.supported) != 0 || ((value & kAvx) != 0 && (value & kSse) == 0) ||
        (avx512 && ((value & kAvx512) != kAvx512 || (value & kAvx) == 0)))
        return raise(cpu, exception::kGeneralProtection);
    cpu.xcr0 = value;
    cpu.xcr0_changed = true;
    return Carried::Out;
}

} // namespace godwit::kvm
