// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/state/power_on.h"

namespace godwit::kvm {

Result<std::unique_ptr<PowerOnState>> capture_power_on(const Vcpu& vcpu) {
    auto state = std::make_unique<PowerOnState>();
    state->image = TRY(capture_image(vcpu));
    state->apic_base = state->image.sregs.apic_base;
    state->lapic = TRY(capture_lapic(vcpu));
    return state;
}

// The LAPIC first: a reset CPU has no use for a deadline, and the control registers' CR8 is zero as its task
// priority is.
Status apply_power_on(const Vcpu& vcpu, const PowerOnState& state) {
    TRY(apply_lapic(vcpu, state.apic_base, state.lapic));
    VcpuImage image = state.image;
    image.events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    return apply_reset_image(vcpu, image);
}

} // namespace godwit::kvm
