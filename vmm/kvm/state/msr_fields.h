// SPDX-License-Identifier: Apache-2.0
//
// Which register each 64-bit member of CpuState is.
#pragma once

#include "vmm/kvm/msr_index.h"
#include "vmm/kvm/state/cpu_state.h"

#include <array>

namespace godwit::kvm {

struct MsrField {
    std::uint32_t index;
    std::uint64_t CpuState::*at;
};

// In the order in which they are applied.
inline constexpr std::array kMsrFields{
    MsrField{msr::kSysenterEsp, &CpuState::sysenter_esp},
    MsrField{msr::kSysenterEip, &CpuState::sysenter_eip},
    MsrField{msr::kStar, &CpuState::star},
    MsrField{msr::kLstar, &CpuState::lstar},
    MsrField{msr::kCstar, &CpuState::cstar},
    MsrField{msr::kFmask, &CpuState::fmask},
    MsrField{msr::kKernelGsBase, &CpuState::kernelgsbase},
    MsrField{msr::kPat, &CpuState::pat},
    MsrField{msr::kVmHsave, &CpuState::vm_hsave},
    MsrField{msr::kMtrrDefaultType, &CpuState::mtrr_deftype},
    MsrField{msr::kTsc, &CpuState::tsc},
    MsrField{msr::kMcgCap, &CpuState::mcg_cap},
    MsrField{msr::kMcgStatus, &CpuState::mcg_status},
    MsrField{msr::kMcgCtl, &CpuState::mcg_ctl},
    MsrField{msr::kTscAux, &CpuState::tsc_aux},
    MsrField{msr::kKvmSystemTime, &CpuState::system_time_msr},
    MsrField{msr::kKvmWallClock, &CpuState::wall_clock_msr},
};

} // namespace godwit::kvm
