// SPDX-License-Identifier: Apache-2.0
//
// What no vCPU can hold, whatever the host. Checks against this host are in CpuSection.
#include "vmm/kvm/state/cpu_schema.h"

#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/efer.h"

namespace godwit {

namespace {

// Intel SDM volume 3, sections 2.3 and 2.5; volume 1, section 3.4.3.
constexpr std::uint64_t kEflagsDefined = 0x3f7fd7;
constexpr std::uint64_t kCr0Pe = 1, kCr0Nw = 1 << 29, kCr0Cd = 1 << 30, kCr0Pg = std::uint64_t{1} << 31;
constexpr std::uint64_t kCr4Pae = 1 << 5;
constexpr std::uint32_t kMxcsrDefined = 0x2ffff; // with AMD's misaligned-exception mask
constexpr std::uint32_t kFlagLong = 1u << 21;
constexpr std::uint32_t kLastMpState = 4; // KVM_MP_STATE_SIPI_RECEIVED
constexpr std::int32_t kNmiVector = 2;

// KVM's own rules for a set of control registers (kvm_is_valid_sregs), so that the refusal names the reason.
Status check_mode(const kvm::CpuState& s) {
    if ((s.cr0 >> 32) != 0 || ((s.cr0 & kCr0Nw) != 0 && (s.cr0 & kCr0Cd) == 0) ||
        ((s.cr0 & kCr0Pg) != 0 && (s.cr0 & kCr0Pe) == 0))
        return corrupt("cr0 {:#x} is not a value that the register can have", s.cr0);
    const bool paging = (s.cr0 & kCr0Pg) != 0;
    const bool long_mode = (s.efer & kvm::efer::kLma) != 0;
    if (long_mode != (paging && (s.efer & kvm::efer::kLme) != 0) || (long_mode && (s.cr4 & kCr4Pae) == 0))
        return corrupt("efer {:#x}, cr0 {:#x} and cr4 {:#x} contradict each other", s.efer, s.cr0, s.cr4);
    if (!long_mode && (s.segs[kvm::kCs].flags & kFlagLong) != 0)
        return corrupt("a 64-bit code segment outside long mode");
    return {};
}

Status check_events(const kvm::CpuState& s) {
    if (s.interrupt_injected < -1 || s.interrupt_injected > 255)
        return corrupt("injected interrupt {}", s.interrupt_injected);
    if (s.exception_nr < -1 || s.exception_nr > 31 || s.exception_nr == kNmiVector)
        return corrupt("exception {}", s.exception_nr);
    if (s.mp_state > kLastMpState)
        return corrupt("mp_state {}", s.mp_state);
    if (s.sipi_vector > 0xff)
        return corrupt("start-up vector {:#x}", s.sipi_vector);
    if (s.soft_interrupt > 1 || s.nmi_injected > 1 || s.has_error_code > 1 || s.nmi_pending > 2)
        return corrupt("pending events {} {} {} {}", s.soft_interrupt, s.nmi_injected, s.nmi_pending,
                       s.has_error_code);
    return {};
}

} // namespace

Status Schema<kvm::CpuCommonState>::validate(const S& state) {
    if (state.halted > 1)
        return corrupt("halted {}", state.halted);
    return {};
}

Status Schema<kvm::TscRate>::validate(const S& state) {
    if (state.khz <= 0 || state.khz > std::int64_t{0xffffffff})
        return corrupt("a TSC of {} kHz", state.khz);
    return {};
}

Status Schema<kvm::TripleFaultState>::validate(const S& state) {
    if (state.pending > 1)
        return corrupt("triple fault {}", state.pending);
    return {};
}

Status Schema<kvm::CpuState>::validate(const S& s) {
    if (s.fpregs_format != 0)
        return corrupt("x87 register format {}", s.fpregs_format);
    if (s.fptag > 0xff)
        return corrupt("x87 tags {:#x}", s.fptag);
    if ((s.mxcsr & ~kMxcsrDefined) != 0)
        return corrupt("mxcsr {:#x}", s.mxcsr);
    if ((s.eflags & ~kEflagsDefined) != 0)
        return corrupt("eflags {:#x}", s.eflags);
    if ((s.dr[6] >> 32) != 0 || (s.dr[7] >> 32) != 0)
        return corrupt("dr6 {:#x}, dr7 {:#x}", s.dr[6], s.dr[7]);
    if ((s.mcg_cap & 0xff) > s.mce_banks.size() / 4)
        return corrupt("{} machine-check banks", s.mcg_cap & 0xff);
    if ((s.hflags & kvm::kHflagNestedGuest) != 0)
        return error(ErrorCode::Incompatible, "the guest runs a guest of its own");
    if ((s.xcr0 & 1) == 0)
        return corrupt("xcr0 {:#x}", s.xcr0);
    if (const std::uint64_t unknown = (s.xcr0 | s.xstate_bv) & ~kvm::kCarriedXsaveComponents; unknown != 0)
        return error(ErrorCode::Incompatible, "the guest uses XSAVE components {:#x}, which are not carried",
                     unknown);
    TRY(check_mode(s));
    return check_events(s);
}

} // namespace godwit
