// SPDX-License-Identifier: Apache-2.0
//
// From the records to KVM's view.
#include "vmm/kvm/state/cpu_convert.h"
#include "vmm/kvm/state/fxsave.h"
#include "vmm/kvm/state/msr_fields.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

kvm_segment to_segment(const SegmentState& state) {
    const auto bits = [&](unsigned shift, unsigned mask) {
        return static_cast<__u8>((state.flags >> shift) & mask);
    };
    kvm_segment segment{};
    segment.selector = static_cast<__u16>(state.selector);
    segment.base = state.base;
    segment.limit = state.limit;
    segment.type = bits(8, 15);
    segment.s = bits(12, 1);
    segment.dpl = bits(13, 3);
    segment.present = bits(15, 1);
    segment.avl = bits(20, 1);
    segment.l = bits(21, 1);
    segment.db = bits(22, 1);
    segment.g = bits(23, 1);
    segment.unusable = segment.present != 0 ? 0 : 1;
    return segment;
}

kvm_dtable to_table(const SegmentState& state) {
    kvm_dtable table{};
    table.base = state.base;
    table.limit = static_cast<__u16>(state.limit);
    return table;
}

void apply_general(const CpuState& s, VcpuImage& image) {
    kvm_regs& r = image.regs;
    __u64* const order[16] = {&r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rsp, &r.rbp, &r.rsi, &r.rdi,
                              &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14, &r.r15};
    for (std::size_t i = 0; i < 16; ++i)
        *order[i] = s.regs[i];
    r.rip = s.eip;
    r.rflags = s.eflags;
    kvm_sregs& sr = image.sregs; // apic_base and cr8 stay: they belong to the LAPIC
    sr.es = to_segment(s.segs[kEs]);
    sr.cs = to_segment(s.segs[kCs]);
    sr.ss = to_segment(s.segs[kSs]);
    sr.ds = to_segment(s.segs[kDs]);
    sr.fs = to_segment(s.segs[kFs]);
    sr.gs = to_segment(s.segs[kGs]);
    sr.ldt = to_segment(s.ldt);
    sr.tr = to_segment(s.tr);
    sr.gdt = to_table(s.gdt);
    sr.idt = to_table(s.idt);
    sr.cr0 = s.cr0;
    sr.cr2 = s.cr2;
    sr.cr3 = s.cr3;
    sr.cr4 = s.cr4;
    sr.efer = s.efer;
    // Without them KVM reads guest memory, which is there already.
    image.pdptrs = s.pdptrs.has_value() ? std::optional{s.pdptrs->entries} : std::nullopt;
    std::copy_n(s.dr.begin(), 4, image.debug.db);
    image.debug.dr6 = s.dr[6];
    image.debug.dr7 = s.dr[7];
    image.debug.flags = 0;
}

Status apply_fpu(const CpuState& s, const XsaveLayout& layout, VcpuImage& image) {
    if (const std::uint64_t missing = (s.xstate_bv | s.xcr0) & ~(layout.supported | 3); missing != 0)
        return error(ErrorCode::Incompatible, "the guest uses XSAVE components {:#x}, which this vCPU lacks",
                     missing);
    FxsaveWriter area{image.xsave};
    area.put(fxsave::kControl, s.fpuc);
    area.put(fxsave::kStatus, s.fpus);
    area.put(fxsave::kTags, static_cast<std::uint8_t>(s.fptag));
    area.put(fxsave::kMxcsr, s.mxcsr);
    const FpPointers pointers = s.fp_pointers.value_or(FpPointers{});
    area.put(fxsave::kOpcode, pointers.opcode);
    area.put(fxsave::kInstruction, pointers.instruction);
    area.put(fxsave::kData, pointers.data);
    for (std::uint32_t i = 0; i < 8; ++i) {
        area.put(fxsave::kX87 + 16 * i, s.fpregs[i].mantissa);
        area.put(fxsave::kX87 + 16 * i + 8, s.fpregs[i].exponent);
    }
    for (std::uint32_t i = 0; i < 16; ++i)
        area.put(fxsave::kXmm + 16 * i, s.xmm[i]);
    area.put(fxsave::kXstateBv, s.xstate_bv);
    if (image.xcr0.has_value())
        image.xcr0 = s.xcr0;

    const auto component = [&](std::uint32_t number, const auto& value, std::uint32_t inside = 0) {
        if (const std::uint32_t at = layout.offset[number]; at != 0)
            area.put(at + inside, value);
    };
    component(fxsave::kAvx, s.ymm_high);
    const MpxState mpx = s.mpx.value_or(MpxState{});
    component(fxsave::kBndRegs, mpx.bounds);
    component(fxsave::kBndCsr, mpx.config_user);
    component(fxsave::kBndCsr, mpx.status, 8);
    const Avx512State avx512 = s.avx512.value_or(Avx512State{});
    component(fxsave::kOpmask, avx512.opmask);
    component(fxsave::kZmmHigh, avx512.zmm_high);
    component(fxsave::kZmmUpper, avx512.zmm_upper);
    component(fxsave::kPkru, s.pkru.value_or(PkruState{}).value);
    return {};
}

// A register that this vCPU lacks may only hold what it would read as there: nothing.
Status set(VcpuImage& image, std::uint32_t index, std::uint64_t value, std::uint64_t nothing = 0) {
    if (!image.set_msr(index, value) && value != nothing)
        return error(ErrorCode::Incompatible,
                     "this host's KVM lacks register {:#x}, in which the guest has {:#x}", index, value);
    return {};
}

Status apply_msrs(const CpuState& s, std::uint32_t physical_bits, VcpuImage& image) {
    for (const MsrField& field : kMsrFields)
        if (field.index != msr::kMcgCap)
            TRY(set(image, field.index, s.*field.at, field.index == msr::kMcgCtl ? s.mcg_ctl : 0));
    TRY(set(image, msr::kSysenterCs, s.sysenter_cs));
    TRY(set(image, msr::kSmbase, s.smbase, s.smbase)); // only with SMM, which the board has no use for
    for (std::size_t i = 0; i < s.mtrr_fixed.size(); ++i)
        TRY(set(image, msr::kMtrrFixed[i], s.mtrr_fixed[i]));
    const std::uint64_t addresses = (std::uint64_t{1} << physical_bits) - 1;
    for (std::uint32_t i = 0; i < msr::kMtrrVariableCount; ++i) {
        TRY(set(image, msr::mtrr_base(i), s.mtrr_var[i].base));
        TRY(set(image, msr::mtrr_mask(i), s.mtrr_var[i].mask & addresses));
    }
    // Banks that this vCPU does not have hold nothing that a guest could have put there.
    const std::uint64_t banks = image.msr(msr::kMcgCap).value_or(0) & 0xff;
    for (std::uint32_t i = 0; i < s.mce_banks.size() && i / 4 < banks; ++i)
        TRY(set(image, msr::kMceBanks + i, s.mce_banks[i]));
    if (s.mpx.has_value())
        TRY(set(image, msr::kBndcfgs, s.mpx->config_supervisor));

    Status status;
    each_extra(s, [&]<class Extra>(const std::optional<Extra>& extra) {
        const CpuExtraInfo& entry = info(Extra::kExtra);
        if (status.ok())
            status = set(image, entry.msr, extra.has_value() ? extra->value : entry.absent, entry.absent);
    });
    return status;
}

void apply_events(const CpuState& s, std::uint32_t interrupt_request, VcpuImage& image) {
    kvm_vcpu_events& e = image.events;
    const std::uint32_t known = e.flags; // what this KVM tells, it takes
    e = {};
    e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
              (known & (KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_TRIPLE_FAULT));
    if (s.mp_state == KVM_MP_STATE_SIPI_RECEIVED)
        e.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    e.exception.injected = s.exception_nr >= 0 ? 1 : 0;
    e.exception.nr = s.exception_nr >= 0 ? static_cast<__u8>(s.exception_nr) : 0;
    e.exception.has_error_code = s.has_error_code;
    e.interrupt.injected = s.interrupt_injected >= 0 ? 1 : 0;
    e.interrupt.nr = s.interrupt_injected >= 0 ? static_cast<__u8>(s.interrupt_injected) : 0;
    e.interrupt.soft = s.soft_interrupt;
    e.nmi.injected = s.nmi_injected;
    e.nmi.pending = s.nmi_pending;
    e.nmi.masked = (s.hflags2 & kHflag2Nmi) != 0 ? 1 : 0;
    e.sipi_vector = s.sipi_vector;
    e.smi.smm = (s.hflags & kHflagSmm) != 0 ? 1 : 0;
    e.smi.smm_inside_nmi = (s.hflags2 & kHflag2SmmInsideNmi) != 0 ? 1 : 0;
    e.smi.pending = (interrupt_request & kPendingSmi) != 0 ? 1 : 0;
    e.smi.latched_init = (interrupt_request & kPendingInit) != 0 ? 1 : 0;
    e.triple_fault.pending = s.triple_fault.has_value() ? s.triple_fault->pending : 0;
    image.mp_state = s.mp_state;
}

// Hosts refuse to enter a guest with such addresses (Intel SDM volume 3, section 26.3.1.2), or KVM to take
// them.
Status check_addresses(const CpuState& s, const ConvertContext& context) {
    const unsigned unused = 64 - context.linear_bits;
    const auto canonical = [&](std::uint64_t address) {
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(address << unused) >> unused) == address;
    };
    for (const std::uint64_t address :
         {s.segs[kFs].base, s.segs[kGs].base, s.ldt.base, s.tr.base, s.gdt.base, s.idt.base, s.lstar, s.cstar,
          s.kernelgsbase, s.sysenter_esp, s.sysenter_eip})
        if (!canonical(address))
            return corrupt("{:#x} is not a canonical address", address);
    if (!canonical(s.eip))
        return corrupt("eip {:#x} is not a canonical address", s.eip);
    return {};
}

} // namespace

Status to_image(const CpuState& state, std::uint32_t interrupt_request, const ConvertContext& context,
                VcpuImage& image) {
    TRY(check_addresses(state, context));
    apply_general(state, image);
    TRY(apply_fpu(state, context.xsave, image));
    TRY(apply_msrs(state, context.physical_bits, image));
    apply_events(state, interrupt_request, image);
    return {};
}

std::uint64_t tsc_deadline_of(const CpuState& state) {
    return state.tsc_deadline.has_value() ? state.tsc_deadline->value : 0;
}

} // namespace godwit::kvm
