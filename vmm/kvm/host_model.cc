// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/host_model.h"

#include "vmm/cpu/fields.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/msrs.h"

#include <algorithm>

namespace godwit::kvm {

namespace {
constexpr std::uint32_t kArchCapabilities = 0x10a;
constexpr std::uint32_t kTellsArchCapabilities = std::uint32_t{1} << 29; // leaf 7, edx
} // namespace

std::vector<cpu::MsrValue> feature_msrs_of(const CpuidTable& cpuid, std::span<const cpu::MsrValue> all) {
    const CpuidEntry* const features = find_leaf(cpuid, 7);
    const bool told = features != nullptr && (features->edx & kTellsArchCapabilities) != 0;
    std::vector<cpu::MsrValue> found;
    std::ranges::copy_if(all, std::back_inserter(found), [&](const cpu::MsrValue& msr) {
        return cpu::find_feature_msr(msr.index) != nullptr && (msr.index != kArchCapabilities || told);
    });
    return found;
}

Result<cpu::CpuModel> host_cpu_model(const Kvm& kvm) {
    cpu::CpuModel model{TRY(make_cpuid_template(kvm)), {}};
    const Fd vm = Fd::adopt(TRY(KVM_CONTROL(kvm.fd(), KVM_CREATE_VM, 0)));
    const Fd vcpu = Fd::adopt(TRY(KVM_CONTROL(vm.get(), KVM_CREATE_VCPU, 0)));
    TRY(set_cpuid(vcpu.get(), model.cpuid));
    std::vector<std::uint32_t> indices;
    for (const cpu::FeatureMsr& msr : cpu::feature_msrs())
        indices.push_back(msr.index);
    const auto present = TRY(read_present_msrs(vcpu.get(), indices));
    model.msrs = feature_msrs_of(model.cpuid, present);
    return model;
}

} // namespace godwit::kvm
