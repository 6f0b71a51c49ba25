// SPDX-License-Identifier: Apache-2.0
//
// Which registers the "godwit-msrs" record is for: those that KVM keeps and QEMU's "cpu" record has no place
// for.
#include "vmm/kvm/state/cpu_convert.h"
#include "vmm/kvm/state/msr_fields.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

// Named by a field outside the two tables, or no state of its own: aliases, acknowledgements, and Hyper-V's
// range, which guests are not offered.
constexpr std::uint32_t kMperf = 0xe7, kAperf = 0xe8; // counters of the host's clock
constexpr std::uint32_t kHyperVFirst = 0x40000000, kHyperVLast = 0x400001ff;
constexpr std::array kElsewhere{
    msr::kApicBase,        msr::kSysenterCs,       msr::kSmbase,        msr::kEfer, msr::kBndcfgs,
    msr::kKvmWallClockOld, msr::kKvmSystemTimeOld, msr::kKvmAsyncPfAck, kMperf,     kAperf};

} // namespace

bool is_unnamed_msr(std::uint32_t index) {
    const auto is = [index](const auto& entry) {
        if constexpr (requires { entry.msr; })
            return entry.msr == index;
        else if constexpr (requires { entry.index; })
            return entry.index == index;
        else
            return entry == index;
    };
    const bool variable_mtrr =
        index >= msr::mtrr_base(0) && index <= msr::mtrr_mask(msr::kMtrrVariableCount - 1);
    const bool bank = index >= msr::kMceBanks && index < msr::kMceBanks + msr::kMceBankRegisters;
    const bool hyperv = index >= kHyperVFirst && index <= kHyperVLast;
    return !variable_mtrr && !bank && !hyperv && std::ranges::none_of(kMsrFields, is) &&
           std::ranges::none_of(kCpuExtras, is) && std::ranges::none_of(kElsewhere, is) &&
           std::ranges::none_of(msr::kMtrrFixed, is);
}

std::vector<MsrValue> unnamed_msrs(const VcpuImage& image) {
    std::vector<MsrValue> found;
    std::ranges::copy_if(image.msrs, std::back_inserter(found),
                         [](const MsrValue& entry) { return is_unnamed_msr(entry.index); });
    return found;
}

} // namespace godwit::kvm
