// SPDX-License-Identifier: Apache-2.0
//
// Subsections of the "cpu" record that hold one register each, as a table: which model-specific register, and
// the value that a stream without the subsection stands for (QEMU 7.2 target/i386/machine.c).
#pragma once

#include "migration/state/schema.h"
#include "vmm/kvm/msr_index.h"

#include <array>

namespace godwit::kvm {

enum class CpuExtra {
    AsyncPf,
    AsyncPfInt,
    PvEoi,
    StealTime,
    PollControl,
    TscAdjust,
    TscDeadline,
    MiscEnable,
    FeatureControl,
    Xss,
    Umwait,
    SmiCount,
    Pkrs,
    SpecCtrl,
    McgExtCtl,
    VirtSsbd,
    TsxCtrl,
};

struct CpuExtraInfo {
    std::string_view name;
    std::string_view field;
    std::uint32_t msr;
    std::uint64_t absent = 0;
};

// In the order of the enumeration.
inline constexpr std::array kCpuExtras{
    CpuExtraInfo{"cpu/async_pf_msr", "env.async_pf_en_msr", msr::kKvmAsyncPf},
    CpuExtraInfo{"cpu/async_pf_int_msr", "env.async_pf_int_msr", msr::kKvmAsyncPfInt},
    CpuExtraInfo{"cpu/async_pv_eoi_msr", "env.pv_eoi_en_msr", msr::kKvmPvEoi},
    CpuExtraInfo{"cpu/steal_time_msr", "env.steal_time_msr", msr::kKvmStealTime},
    CpuExtraInfo{"cpu/poll_control_msr", "env.poll_control_msr", msr::kKvmPollControl, 1},
    CpuExtraInfo{"cpu/msr_tsc_adjust", "env.tsc_adjust", msr::kTscAdjust},
    CpuExtraInfo{"cpu/msr_tscdeadline", "env.tsc_deadline", msr::kTscDeadline},
    CpuExtraInfo{"cpu/msr_ia32_misc_enable", "env.msr_ia32_misc_enable", msr::kMiscEnable, 1},
    CpuExtraInfo{"cpu/msr_ia32_feature_control", "env.msr_ia32_feature_control", msr::kFeatureControl},
    CpuExtraInfo{"cpu/xss", "env.xss", msr::kXss},
    CpuExtraInfo{"cpu/umwait", "env.umwait", msr::kUmwaitControl},
    CpuExtraInfo{"cpu/msr_smi_count", "env.msr_smi_count", msr::kSmiCount},
    CpuExtraInfo{"cpu/pkrs", "env.pkrs", msr::kPkrs},
    CpuExtraInfo{"cpu/spec_ctrl", "env.spec_ctrl", msr::kSpecCtrl},
    CpuExtraInfo{"cpu/mcg_ext_ctl", "env.mcg_ext_ctl", msr::kMcgExtCtl},
    CpuExtraInfo{"cpu/virt_ssbd", "env.virt_ssbd", msr::kVirtSsbd},
    CpuExtraInfo{"cpu/msr_tsx_ctrl", "env.tsx_ctrl", msr::kTsxCtrl},
};
static_assert(kCpuExtras.size() == static_cast<std::size_t>(CpuExtra::TsxCtrl) + 1);

constexpr const CpuExtraInfo& info(CpuExtra extra) {
    return kCpuExtras[static_cast<std::size_t>(extra)];
}

template <CpuExtra E, std::unsigned_integral T = std::uint64_t>
struct ExtraMsr {
    static constexpr CpuExtra kExtra = E;
    T value = 0;
    bool operator==(const ExtraMsr&) const = default;
};

} // namespace godwit::kvm

namespace godwit {

template <kvm::CpuExtra E, std::unsigned_integral T>
struct Schema<kvm::ExtraMsr<E, T>> {
    static constexpr std::string_view name = kvm::info(E).name;
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{kvm::info(E).field, &kvm::ExtraMsr<E, T>::value}};
};

} // namespace godwit
