// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/msrs.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/msr_index.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

using MsrList = Counted<kvm_msrs, kvm_msr_entry>;

// Both ioctls return how many entries they did before the first that failed.
Result<std::size_t> transfer(int vcpu_fd, bool write, MsrList& list, std::size_t count) {
    list.header()->nmsrs = static_cast<__u32>(count);
    const int done = write ? TRY(KVM_CONTROL(vcpu_fd, KVM_SET_MSRS, list.header()))
                           : TRY(KVM_CONTROL(vcpu_fd, KVM_GET_MSRS, list.header()));
    return static_cast<std::size_t>(done);
}

} // namespace

Result<std::vector<MsrValue>> read_present_msrs(int vcpu_fd, std::span<const std::uint32_t> indices) {
    std::vector<MsrValue> values;
    for (std::size_t next = 0; next < indices.size();) {
        const auto rest = indices.subspan(next);
        MsrList list{rest.size()};
        for (std::size_t i = 0; i < rest.size(); ++i)
            list.data()[i].index = rest[i];
        const std::size_t done = TRY(transfer(vcpu_fd, false, list, rest.size()));
        for (std::size_t i = 0; i < done; ++i)
            values.push_back({rest[i], list.data()[i].data});
        next += done + 1; // the one that stopped it is absent
    }
    return values;
}

Status read_msrs(int vcpu_fd, std::span<MsrValue> msrs) {
    if (msrs.empty())
        return {};
    MsrList list{msrs.size()};
    for (std::size_t i = 0; i < msrs.size(); ++i)
        list.data()[i].index = msrs[i].index;
    const std::size_t done = TRY(transfer(vcpu_fd, false, list, msrs.size()));
    if (done < msrs.size())
        return error(ErrorCode::System, "KVM_GET_MSRS: register {:#x} cannot be read", msrs[done].index);
    for (std::size_t i = 0; i < msrs.size(); ++i)
        msrs[i].value = list.data()[i].data;
    return {};
}

Status write_msrs(int vcpu_fd, std::span<const MsrValue> msrs) {
    if (msrs.empty())
        return {};
    MsrList list{msrs.size()};
    for (std::size_t i = 0; i < msrs.size(); ++i) {
        list.data()[i].index = msrs[i].index;
        list.data()[i].data = msrs[i].value;
    }
    const std::size_t done = TRY(transfer(vcpu_fd, true, list, msrs.size()));
    if (done < msrs.size())
        return error(ErrorCode::Incompatible, "this host's KVM refuses {:#x} in register {:#x}",
                     msrs[done].value, msrs[done].index);
    return {};
}

MsrSet::MsrSet(std::vector<MsrValue> initial) : initial_(std::move(initial)) {
    std::ranges::sort(initial_, {}, &MsrValue::index);
}

std::optional<std::uint64_t> MsrSet::initial(std::uint32_t index) const {
    const auto found = std::ranges::lower_bound(initial_, index, {}, &MsrValue::index);
    if (found == initial_.end() || found->index != index)
        return std::nullopt;
    return found->value;
}

std::vector<std::uint32_t> all_msr_indices(std::span<const std::uint32_t> listed) {
    std::vector<std::uint32_t> indices{listed.begin(), listed.end()};
    indices.insert(indices.end(), msr::kMtrrFixed.begin(), msr::kMtrrFixed.end());
    for (std::uint32_t i = 0; i < msr::kMtrrVariableCount; ++i) {
        indices.push_back(msr::mtrr_base(i));
        indices.push_back(msr::mtrr_mask(i));
    }
    for (std::uint32_t i = 0; i < msr::kMceBankRegisters; ++i)
        indices.push_back(msr::kMceBanks + i);
    for (const std::uint32_t index :
         {msr::kMtrrDefaultType, msr::kTscAux, msr::kMcgCap, msr::kMcgStatus, msr::kMcgCtl, msr::kXss,
          msr::kTsxCtrl, msr::kSpecCtrl, msr::kUmwaitControl, msr::kSmbase, msr::kFeatureControl,
          msr::kBndcfgs, msr::kPkrs, msr::kMcgExtCtl})
        indices.push_back(index);
    std::ranges::sort(indices);
    const auto repeated = std::ranges::unique(indices);
    indices.erase(repeated.begin(), repeated.end());
    return indices;
}

} // namespace godwit::kvm
