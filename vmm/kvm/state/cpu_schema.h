// SPDX-License-Identifier: Apache-2.0
//
// The tables of cpu_state.h, in wire order.
#pragma once

#include "vmm/kvm/state/cpu_state.h"

namespace godwit {

template <>
struct Schema<kvm::CpuCommonState> {
    using S = kvm::CpuCommonState;
    static constexpr std::string_view name = "cpu_common";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"halted", &S::halted},
                                       Field{"interrupt_request", &S::interrupt_request}};
    static Status validate(const S& state);
};
static_assert(schema_is_complete<kvm::CpuCommonState>());

template <>
struct Schema<kvm::SegmentState> {
    using S = kvm::SegmentState;
    static constexpr std::string_view name = "segment";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"selector", &S::selector}, Field{"base", &S::base},
                                       Field{"limit", &S::limit}, Field{"flags", &S::flags}};
};
static_assert(schema_is_complete<kvm::SegmentState>());

template <>
struct Schema<kvm::X87Register> {
    using S = kvm::X87Register;
    static constexpr std::string_view name = "fpreg";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"tmp_mant", &S::mantissa}, Field{"tmp_exp", &S::exponent}};
};
static_assert(schema_is_complete<kvm::X87Register>());

template <>
struct Schema<kvm::VectorHalf> {
    using S = kvm::VectorHalf;
    static constexpr std::string_view name = "xmm_reg";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"low", &S::low}, Field{"high", &S::high}};
};
static_assert(schema_is_complete<kvm::VectorHalf>());

template <>
struct Schema<kvm::MtrrRange> {
    using S = kvm::MtrrRange;
    static constexpr std::string_view name = "mtrr_var";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"base", &S::base}, Field{"mask", &S::mask}};
};
static_assert(schema_is_complete<kvm::MtrrRange>());

template <>
struct Schema<kvm::FpPointers> {
    using S = kvm::FpPointers;
    static constexpr std::string_view name = "cpu/fpop_ip_dp";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.fpop", &S::opcode}, Field{"env.fpip", &S::instruction},
                                       Field{"env.fpdp", &S::data}};
};
static_assert(schema_is_complete<kvm::FpPointers>());

template <>
struct Schema<kvm::BoundRegister> {
    using S = kvm::BoundRegister;
    static constexpr std::string_view name = "bnd_regs";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"lb", &S::lower}, Field{"ub", &S::upper}};
};
static_assert(schema_is_complete<kvm::BoundRegister>());

template <>
struct Schema<kvm::MpxState> {
    using S = kvm::MpxState;
    static constexpr std::string_view name = "cpu/mpx";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{
        Field{"env.bnd_regs", &S::bounds}, Field{"env.bndcs_regs.cfgu", &S::config_user},
        Field{"env.bndcs_regs.sts", &S::status}, Field{"env.msr_bndcfgs", &S::config_supervisor}};
};
static_assert(schema_is_complete<kvm::MpxState>());

template <>
struct Schema<kvm::Avx512State> {
    using S = kvm::Avx512State;
    static constexpr std::string_view name = "cpu/avx512";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.opmask_regs", &S::opmask},
                                       Field{"env.zmm_high", &S::zmm_high},
                                       Field{"env.zmm_upper", &S::zmm_upper}};
};
static_assert(schema_is_complete<kvm::Avx512State>());

template <>
struct Schema<kvm::TscRate> {
    using S = kvm::TscRate;
    static constexpr std::string_view name = "cpu/tsc_khz";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.tsc_khz", &S::khz}};
    static Status validate(const S& state);
};
static_assert(schema_is_complete<kvm::TscRate>());

template <>
struct Schema<kvm::PkruState> {
    using S = kvm::PkruState;
    static constexpr std::string_view name = "cpu/pkru";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.pkru", &S::value}};
};
static_assert(schema_is_complete<kvm::PkruState>());

template <>
struct Schema<kvm::PdptrState> {
    using S = kvm::PdptrState;
    static constexpr std::string_view name = "cpu/pdptrs";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.pdptrs", &S::entries}};
};
static_assert(schema_is_complete<kvm::PdptrState>());

template <>
struct Schema<kvm::TripleFaultState> {
    using S = kvm::TripleFaultState;
    static constexpr std::string_view name = "cpu/triple_fault";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"env.triple_fault_pending", &S::pending}};
    static Status validate(const S& state);
};
static_assert(schema_is_complete<kvm::TripleFaultState>());

template <>
struct Schema<kvm::CpuState> {
    using S = kvm::CpuState;
    static constexpr std::string_view name = "cpu";
    static constexpr std::uint32_t version = 12, minimum_version = 11;
    static constexpr std::tuple fields{
        Field{"env.regs", &S::regs},
        Field{"env.eip", &S::eip},
        Field{"env.eflags", &S::eflags},
        Field{"env.hflags", &S::hflags},
        Field{"env.fpuc", &S::fpuc},
        Field{"env.fpus_vmstate", &S::fpus},
        Field{"env.fptag_vmstate", &S::fptag},
        Field{"env.fpregs_format_vmstate", &S::fpregs_format},
        Field{"env.fpregs", &S::fpregs},
        Field{"env.segs", &S::segs},
        Field{"env.ldt", &S::ldt},
        Field{"env.tr", &S::tr},
        Field{"env.gdt", &S::gdt},
        Field{"env.idt", &S::idt},
        Field{"env.sysenter_cs", &S::sysenter_cs},
        Field{"env.sysenter_esp", &S::sysenter_esp},
        Field{"env.sysenter_eip", &S::sysenter_eip},
        Field{"env.cr[0]", &S::cr0},
        Field{"env.cr[2]", &S::cr2},
        Field{"env.cr[3]", &S::cr3},
        Field{"env.cr[4]", &S::cr4},
        Field{"env.dr", &S::dr},
        Field{"env.a20_mask", &S::a20_mask},
        Field{"env.mxcsr", &S::mxcsr},
        Field{"env.xmm_regs", &S::xmm},
        Field{"env.efer", &S::efer},
        Field{"env.star", &S::star},
        Field{"env.lstar", &S::lstar},
        Field{"env.cstar", &S::cstar},
        Field{"env.fmask", &S::fmask},
        Field{"env.kernelgsbase", &S::kernelgsbase},
        Field{"env.smbase", &S::smbase},
        Field{"env.pat", &S::pat},
        Field{"env.hflags2", &S::hflags2},
        Field{"env.vm_hsave", &S::vm_hsave},
        Field{"env.vm_vmcb", &S::vm_vmcb},
        Field{"env.tsc_offset", &S::svm_tsc_offset},
        Field{"env.intercept", &S::intercept},
        Field{"env.intercept_cr_read", &S::intercept_cr_read},
        Field{"env.intercept_cr_write", &S::intercept_cr_write},
        Field{"env.intercept_dr_read", &S::intercept_dr_read},
        Field{"env.intercept_dr_write", &S::intercept_dr_write},
        Field{"env.intercept_exceptions", &S::intercept_exceptions},
        Field{"env.v_tpr", &S::v_tpr},
        Field{"env.mtrr_fixed", &S::mtrr_fixed},
        Field{"env.mtrr_deftype", &S::mtrr_deftype},
        Field{"env.mtrr_var", &S::mtrr_var},
        Field{"env.interrupt_injected", &S::interrupt_injected},
        Field{"env.mp_state", &S::mp_state},
        Field{"env.tsc", &S::tsc},
        Field{"env.exception_nr", &S::exception_nr},
        Field{"env.soft_interrupt", &S::soft_interrupt},
        Field{"env.nmi_injected", &S::nmi_injected},
        Field{"env.nmi_pending", &S::nmi_pending},
        Field{"env.has_error_code", &S::has_error_code},
        Field{"env.sipi_vector", &S::sipi_vector},
        Field{"env.mcg_cap", &S::mcg_cap},
        Field{"env.mcg_status", &S::mcg_status},
        Field{"env.mcg_ctl", &S::mcg_ctl},
        Field{"env.mce_banks", &S::mce_banks},
        Field{"env.tsc_aux", &S::tsc_aux},
        Field{"env.system_time_msr", &S::system_time_msr},
        Field{"env.wall_clock_msr", &S::wall_clock_msr},
        Field{"env.xcr0", &S::xcr0, 12},
        Field{"env.xstate_bv", &S::xstate_bv, 12},
        Field{"env.ymmh_regs", &S::ymm_high, 12},
    };
    static constexpr std::tuple subsections{
        Subsection{&S::async_pf},     Subsection{&S::async_pf_int},
        Subsection{&S::pv_eoi},       Subsection{&S::steal_time},
        Subsection{&S::poll_control}, Subsection{&S::fp_pointers},
        Subsection{&S::tsc_adjust},   Subsection{&S::tsc_deadline},
        Subsection{&S::misc_enable},  Subsection{&S::feature_control},
        Subsection{&S::mpx},          Subsection{&S::avx512},
        Subsection{&S::xss},          Subsection{&S::umwait},
        Subsection{&S::tsc_khz},      Subsection{&S::smi_count},
        Subsection{&S::pkru},         Subsection{&S::pkrs},
        Subsection{&S::spec_ctrl},    Subsection{&S::mcg_ext_ctl},
        Subsection{&S::virt_ssbd},    Subsection{&S::tsx_ctrl},
        Subsection{&S::pdptrs},       Subsection{&S::triple_fault},
    };
    static Status validate(const S& state);
};
static_assert(schema_is_complete<kvm::CpuState>());

} // namespace godwit
