// SPDX-License-Identifier: Apache-2.0
//
// A vCPU as KVM makes it, kept for the day when the machine is reset.
#pragma once

#include "vmm/kvm/state/vcpu_image.h"

#include <memory>

namespace godwit::kvm {

struct PowerOnState {
    VcpuImage image;
    std::uint64_t apic_base = 0;
    kvm_lapic_state lapic{};
};

Result<std::unique_ptr<PowerOnState>> capture_power_on(const Vcpu& vcpu);
Status apply_power_on(const Vcpu& vcpu, const PowerOnState& state);

} // namespace godwit::kvm
