// SPDX-License-Identifier: Apache-2.0
//
// From KVM's view to the records.
#include "vmm/kvm/state/cpu_convert.h"
#include "vmm/kvm/state/fxsave.h"
#include "vmm/kvm/state/msr_fields.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

SegmentState from_segment(const kvm_segment& segment) {
    const auto bits = [](unsigned value, unsigned shift) { return std::uint32_t{value} << shift; };
    return {segment.selector, segment.base, segment.limit,
            bits(segment.type & 15u, 8) | bits(segment.s & 1u, 12) | bits(segment.dpl & 3u, 13) |
                bits(segment.present != 0 && segment.unusable == 0 ? 1u : 0u, 15) |
                bits(segment.avl & 1u, 20) | bits(segment.l & 1u, 21) | bits(segment.db & 1u, 22) |
                bits(segment.g & 1u, 23)};
}

SegmentState from_table(const kvm_dtable& table) {
    return {0, table.base, table.limit, 0};
}

// QEMU's summary of the execution mode. A receiver derives it again, except for SMM.
std::uint32_t derive_hflags(const CpuState& s, bool smm) {
    constexpr std::uint32_t kCs32 = 1u << 4, kSs32 = 1u << 5, kAddSeg = 1u << 6, kPe = 1u << 7,
                            kLma = 1u << 14, kCs64 = 1u << 15, kOsfxsr = 1u << 22;
    constexpr std::uint32_t kFromEflags = (1u << 8) | (3u << 12) | (1u << 17); // TF, IOPL, VM
    const auto flag = [](std::uint64_t value, unsigned bit) { return ((value >> bit) & 1) != 0; };
    std::uint32_t flags = (s.segs[kSs].flags >> 13) & 3;     // the privilege level
    flags |= static_cast<std::uint32_t>((s.cr0 & 0xe) << 8); // MP, EM, TS
    flags |= static_cast<std::uint32_t>(s.eflags) & kFromEflags;
    flags |= (flag(s.cr0, 0) ? kPe : 0) | (flag(s.cr4, 9) ? kOsfxsr : 0) | (smm ? kHflagSmm : 0);
    const bool lma = flag(s.efer, 10);
    flags |= lma ? kLma : 0;
    if (lma && flag(s.segs[kCs].flags, 21))
        return flags | kCs32 | kSs32 | kCs64;
    const bool cs32 = flag(s.segs[kCs].flags, 22);
    flags |= (cs32 ? kCs32 : 0) | (flag(s.segs[kSs].flags, 22) ? kSs32 : 0);
    if (!flag(s.cr0, 0) || flag(s.eflags, 17) || !cs32 ||
        (s.segs[kDs].base | s.segs[kEs].base | s.segs[kSs].base) != 0)
        flags |= kAddSeg;
    return flags;
}

void capture_general(const VcpuImage& image, CpuState& s) {
    const kvm_regs& r = image.regs;
    s.regs = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
              r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
    s.eip = r.rip;
    s.eflags = r.rflags;
    const kvm_sregs& sr = image.sregs;
    s.segs = {from_segment(sr.es), from_segment(sr.cs), from_segment(sr.ss),
              from_segment(sr.ds), from_segment(sr.fs), from_segment(sr.gs)};
    s.ldt = from_segment(sr.ldt);
    s.tr = from_segment(sr.tr);
    s.gdt = from_table(sr.gdt);
    s.idt = from_table(sr.idt);
    s.cr0 = sr.cr0;
    s.cr2 = sr.cr2;
    s.cr3 = sr.cr3;
    s.cr4 = sr.cr4;
    s.efer = sr.efer;
    if (image.pdptrs.has_value())
        s.pdptrs = PdptrState{*image.pdptrs};
    std::ranges::copy(image.debug.db, s.dr.begin());
    s.dr[4] = s.dr[6] = image.debug.dr6;
    s.dr[5] = s.dr[7] = image.debug.dr7;
}

void capture_fpu(const VcpuImage& image, const XsaveLayout& layout, CpuState& s) {
    const FxsaveReader area{image.xsave};
    s.fpuc = area.get<std::uint16_t>(fxsave::kControl);
    s.fpus = area.get<std::uint16_t>(fxsave::kStatus);
    s.fptag = area.get<std::uint8_t>(fxsave::kTags);
    s.mxcsr = area.get<std::uint32_t>(fxsave::kMxcsr);
    const FpPointers pointers{area.get<std::uint16_t>(fxsave::kOpcode),
                              area.get<std::uint64_t>(fxsave::kInstruction),
                              area.get<std::uint64_t>(fxsave::kData)};
    if (pointers != FpPointers{})
        s.fp_pointers = pointers;
    for (std::uint32_t i = 0; i < 8; ++i)
        s.fpregs[i] = {area.get<std::uint64_t>(fxsave::kX87 + 16 * i),
                       area.get<std::uint16_t>(fxsave::kX87 + 16 * i + 8)};
    for (std::uint32_t i = 0; i < 16; ++i)
        s.xmm[i] = area.get<VectorHalf>(fxsave::kXmm + 16 * i);
    s.xcr0 = image.xcr0.value_or(1);
    s.xstate_bv = area.get<std::uint64_t>(fxsave::kXstateBv);

    if (const std::uint32_t at = layout.offset[fxsave::kAvx]; at != 0)
        s.ymm_high = area.get<decltype(s.ymm_high)>(at);
    if (layout.offset[fxsave::kBndRegs] != 0) {
        MpxState mpx;
        mpx.bounds = area.get<decltype(mpx.bounds)>(layout.offset[fxsave::kBndRegs]);
        if (const std::uint32_t at = layout.offset[fxsave::kBndCsr]; at != 0) {
            mpx.config_user = area.get<std::uint64_t>(at);
            mpx.status = area.get<std::uint64_t>(at + 8);
        }
        mpx.config_supervisor = image.msr(msr::kBndcfgs).value_or(0);
        if (mpx != MpxState{})
            s.mpx = mpx;
    }
    if (layout.offset[fxsave::kOpmask] != 0) {
        Avx512State avx512;
        avx512.opmask = area.get<decltype(avx512.opmask)>(layout.offset[fxsave::kOpmask]);
        if (const std::uint32_t at = layout.offset[fxsave::kZmmHigh]; at != 0)
            avx512.zmm_high = area.get<decltype(avx512.zmm_high)>(at);
        if (const std::uint32_t at = layout.offset[fxsave::kZmmUpper]; at != 0)
            avx512.zmm_upper = area.get<decltype(avx512.zmm_upper)>(at);
        if (avx512 != Avx512State{})
            s.avx512 = avx512;
    }
    if (const std::uint32_t at = layout.offset[fxsave::kPkru]; at != 0)
        if (const auto pkru = area.get<std::uint32_t>(at); pkru != 0)
            s.pkru = PkruState{pkru};
}

void capture_msrs(const VcpuImage& image, std::uint32_t physical_bits, CpuState& s) {
    for (const MsrField& field : kMsrFields)
        s.*field.at = image.msr(field.index).value_or(0);
    s.sysenter_cs = static_cast<std::uint32_t>(image.msr(msr::kSysenterCs).value_or(0));
    s.smbase = static_cast<std::uint32_t>(image.msr(msr::kSmbase).value_or(0x30000));
    for (std::size_t i = 0; i < s.mtrr_fixed.size(); ++i)
        s.mtrr_fixed[i] = image.msr(msr::kMtrrFixed[i]).value_or(0);
    // QEMU sets the bits that this guest has no addresses for, so that a receiver with more of them reads on.
    const std::uint64_t beyond = ((std::uint64_t{1} << 52) - 1) & ~((std::uint64_t{1} << physical_bits) - 1);
    for (std::uint32_t i = 0; i < msr::kMtrrVariableCount; ++i) {
        s.mtrr_var[i].base = image.msr(msr::mtrr_base(i)).value_or(0);
        s.mtrr_var[i].mask = image.msr(msr::mtrr_mask(i)).value_or(0) | beyond;
    }
    for (std::uint32_t i = 0; i < s.mce_banks.size(); ++i)
        s.mce_banks[i] = image.msr(msr::kMceBanks + i).value_or(0);

    each_extra(s, [&]<class Extra>(std::optional<Extra>& extra) {
        const CpuExtraInfo& entry = info(Extra::kExtra);
        const auto value = image.msr(entry.msr);
        if (value.has_value() && *value != entry.absent)
            extra = Extra{static_cast<decltype(Extra::value)>(*value)};
    });
}

void capture_events(const VcpuImage& image, CpuState& s) {
    const kvm_vcpu_events& e = image.events;
    s.exception_nr = e.exception.injected != 0 ? e.exception.nr : -1;
    s.has_error_code = e.exception.has_error_code;
    s.interrupt_injected = e.interrupt.injected != 0 ? e.interrupt.nr : -1;
    s.soft_interrupt = e.interrupt.soft;
    s.nmi_injected = e.nmi.injected;
    s.nmi_pending = e.nmi.pending;
    s.hflags2 = kHflag2Gif | kHflag2Vgif | (e.nmi.masked != 0 ? kHflag2Nmi : 0) |
                (e.smi.smm_inside_nmi != 0 ? kHflag2SmmInsideNmi : 0);
    s.sipi_vector = e.sipi_vector;
    s.mp_state = image.mp_state;
    if (e.triple_fault.pending != 0)
        s.triple_fault = TripleFaultState{1};
}

} // namespace

ConvertContext convert_context(const Vcpu& vcpu) {
    ConvertContext context;
    context.xsave = xsave_layout(vcpu.cpuid());
    if (const CpuidEntry* const sizes = find_leaf(vcpu.cpuid(), 0x80000008))
        context.physical_bits = std::clamp(sizes->eax & 0xff, 36u, 52u);
    if (const CpuidEntry* const features = find_leaf(vcpu.cpuid(), 7))
        context.linear_bits = (features->ecx & (1u << 16)) != 0 ? 57 : 48;
    context.tsc_khz = vcpu.tsc_khz();
    return context;
}

CpuCommonState to_common_state(const VcpuImage& image) {
    CpuCommonState s;
    s.halted = image.mp_state == KVM_MP_STATE_HALTED ? 1 : 0;
    s.interrupt_request = (image.events.smi.pending != 0 ? kPendingSmi : 0) |
                          (image.events.smi.latched_init != 0 ? kPendingInit : 0);
    return s;
}

CpuState to_cpu_state(const VcpuImage& image, const ConvertContext& context) {
    CpuState s;
    capture_general(image, s);
    capture_fpu(image, context.xsave, s);
    capture_msrs(image, context.physical_bits, s);
    capture_events(image, s);
    s.hflags = derive_hflags(s, image.events.smi.smm != 0);
    if (context.tsc_khz != 0)
        s.tsc_khz = TscRate{context.tsc_khz};
    return s;
}

} // namespace godwit::kvm
