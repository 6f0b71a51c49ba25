// SPDX-License-Identifier: Apache-2.0
//
// The "cpu" and "cpu_common" records: a vCPU's registers as the state stream has them (QEMU 7.2
// target/i386/machine.c, docs/state-stream.md). What only QEMU's own emulator uses is kept as it came.
#pragma once

#include "vmm/kvm/state/cpu_extras.h"

#include <array>
#include <optional>

namespace godwit::kvm {

struct CpuCommonState {
    std::uint32_t halted = 0;
    std::uint32_t interrupt_request = 0; // kPendingSmi, kPendingInit; other bits mean nothing under KVM
    bool operator==(const CpuCommonState&) const = default;
};
inline constexpr std::uint32_t kPendingSmi = 0x40;
inline constexpr std::uint32_t kPendingInit = 0x400;

struct SegmentState {
    std::uint32_t selector = 0;
    std::uint64_t base = 0;
    std::uint32_t limit = 0;
    std::uint32_t flags = 0; // bits 8 to 23 of the descriptor's second word; not present: unusable
    bool operator==(const SegmentState&) const = default;
};
struct X87Register {
    std::uint64_t mantissa = 0;
    std::uint16_t exponent = 0; // with the sign
    bool operator==(const X87Register&) const = default;
};
struct VectorHalf { // 128 bits
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    bool operator==(const VectorHalf&) const = default;
};
struct MtrrRange {
    std::uint64_t base = 0;
    std::uint64_t mask = 0;
    bool operator==(const MtrrRange&) const = default;
};

struct FpPointers { // cpu/fpop_ip_dp
    std::uint16_t opcode = 0;
    std::uint64_t instruction = 0;
    std::uint64_t data = 0;
    bool operator==(const FpPointers&) const = default;
};
struct BoundRegister {
    std::uint64_t lower = 0;
    std::uint64_t upper = 0;
    bool operator==(const BoundRegister&) const = default;
};
struct MpxState { // cpu/mpx
    std::array<BoundRegister, 4> bounds{};
    std::uint64_t config_user = 0;
    std::uint64_t status = 0;
    std::uint64_t config_supervisor = 0;
    bool operator==(const MpxState&) const = default;
};
struct Avx512State { // cpu/avx512
    std::array<std::uint64_t, 8> opmask{};
    std::array<std::array<std::uint64_t, 4>, 16> zmm_high{};  // bits 511 to 256 of zmm0 to zmm15
    std::array<std::array<std::uint64_t, 8>, 16> zmm_upper{}; // zmm16 to zmm31
    bool operator==(const Avx512State&) const = default;
};
struct TscRate { // cpu/tsc_khz
    std::int64_t khz = 0;
    bool operator==(const TscRate&) const = default;
};
struct PkruState { // cpu/pkru
    std::uint32_t value = 0;
    bool operator==(const PkruState&) const = default;
};
struct PdptrState { // cpu/pdptrs
    std::array<std::uint64_t, 4> entries{};
    bool operator==(const PdptrState&) const = default;
};
struct TripleFaultState { // cpu/triple_fault
    std::uint8_t pending = 0;
    bool operator==(const TripleFaultState&) const = default;
};

enum SegmentIndex { kEs, kCs, kSs, kDs, kFs, kGs };

struct CpuState {
    std::array<std::uint64_t, 16> regs{}; // ax cx dx bx sp bp si di r8...r15
    std::uint64_t eip = 0;
    std::uint64_t eflags = 0;
    std::uint32_t hflags = 0; // derived from other fields, except SMM and nested guest
    std::uint16_t fpuc = 0;
    std::uint16_t fpus = 0;
    std::uint16_t fptag = 0; // one bit per register, 1 = valid
    std::uint16_t fpregs_format = 0;
    std::array<X87Register, 8> fpregs{};
    std::array<SegmentState, 6> segs{};
    SegmentState ldt, tr, gdt, idt;
    std::uint32_t sysenter_cs = 0;
    std::uint64_t sysenter_esp = 0, sysenter_eip = 0;
    std::uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
    std::array<std::uint64_t, 8> dr{};
    std::int32_t a20_mask = -1;
    std::uint32_t mxcsr = 0;
    std::array<VectorHalf, 16> xmm{};
    std::uint64_t efer = 0, star = 0, lstar = 0, cstar = 0, fmask = 0, kernelgsbase = 0;
    std::uint32_t smbase = 0;
    std::uint64_t pat = 0;
    std::uint32_t hflags2 = 0;
    std::uint64_t vm_hsave = 0, vm_vmcb = 0, svm_tsc_offset = 0, intercept = 0;
    std::uint16_t intercept_cr_read = 0, intercept_cr_write = 0, intercept_dr_read = 0,
                  intercept_dr_write = 0;
    std::uint32_t intercept_exceptions = 0;
    std::uint8_t v_tpr = 0;
    std::array<std::uint64_t, 11> mtrr_fixed{};
    std::uint64_t mtrr_deftype = 0;
    std::array<MtrrRange, 8> mtrr_var{};
    std::int32_t interrupt_injected = -1; // vector, or -1
    std::uint32_t mp_state = 0;
    std::uint64_t tsc = 0;
    std::int32_t exception_nr = -1; // vector, or -1
    std::uint8_t soft_interrupt = 0, nmi_injected = 0, nmi_pending = 0, has_error_code = 0;
    std::uint32_t sipi_vector = 0;
    std::uint64_t mcg_cap = 0, mcg_status = 0, mcg_ctl = 0;
    std::array<std::uint64_t, 40> mce_banks{};
    std::uint64_t tsc_aux = 0;
    std::uint64_t system_time_msr = 0, wall_clock_msr = 0;
    std::uint64_t xcr0 = 1, xstate_bv = 3;
    std::array<VectorHalf, 16> ymm_high{};

    std::optional<ExtraMsr<CpuExtra::AsyncPf>> async_pf;
    std::optional<ExtraMsr<CpuExtra::AsyncPfInt>> async_pf_int;
    std::optional<ExtraMsr<CpuExtra::PvEoi>> pv_eoi;
    std::optional<ExtraMsr<CpuExtra::StealTime>> steal_time;
    std::optional<ExtraMsr<CpuExtra::PollControl>> poll_control;
    std::optional<FpPointers> fp_pointers;
    std::optional<ExtraMsr<CpuExtra::TscAdjust>> tsc_adjust;
    std::optional<ExtraMsr<CpuExtra::TscDeadline>> tsc_deadline;
    std::optional<ExtraMsr<CpuExtra::MiscEnable>> misc_enable;
    std::optional<ExtraMsr<CpuExtra::FeatureControl>> feature_control;
    std::optional<MpxState> mpx;
    std::optional<Avx512State> avx512;
    std::optional<ExtraMsr<CpuExtra::Xss>> xss;
    std::optional<ExtraMsr<CpuExtra::Umwait, std::uint32_t>> umwait;
    std::optional<TscRate> tsc_khz;
    std::optional<ExtraMsr<CpuExtra::SmiCount>> smi_count;
    std::optional<PkruState> pkru;
    std::optional<ExtraMsr<CpuExtra::Pkrs, std::uint32_t>> pkrs;
    std::optional<ExtraMsr<CpuExtra::SpecCtrl>> spec_ctrl;
    std::optional<ExtraMsr<CpuExtra::McgExtCtl>> mcg_ext_ctl;
    std::optional<ExtraMsr<CpuExtra::VirtSsbd>> virt_ssbd;
    std::optional<ExtraMsr<CpuExtra::TsxCtrl, std::uint32_t>> tsx_ctrl;
    std::optional<PdptrState> pdptrs;
    std::optional<TripleFaultState> triple_fault;
    bool operator==(const CpuState&) const = default;
};

// Calls visit(optional subsection) for every subsection that is one register.
template <class State, class Visit>
void each_extra(State& state, Visit&& visit) {
    const auto all = [&](auto&... extras) { (visit(extras), ...); };
    all(state.async_pf, state.async_pf_int, state.pv_eoi, state.steal_time, state.poll_control,
        state.tsc_adjust, state.tsc_deadline, state.misc_enable, state.feature_control, state.xss,
        state.umwait, state.smi_count, state.pkrs, state.spec_ctrl, state.mcg_ext_ctl, state.virt_ssbd,
        state.tsx_ctrl);
}

// Bits of hflags that are not derived, and of hflags2.
inline constexpr std::uint32_t kHflagSmm = 1u << 19;
inline constexpr std::uint32_t kHflagNestedGuest = 1u << 21;
inline constexpr std::uint32_t kHflag2Gif = 1u << 0;
inline constexpr std::uint32_t kHflag2Nmi = 1u << 2; // in an NMI handler
inline constexpr std::uint32_t kHflag2SmmInsideNmi = 1u << 4;
inline constexpr std::uint32_t kHflag2Vgif = 1u << 8;

} // namespace godwit::kvm
