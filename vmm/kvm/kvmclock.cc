// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvmclock.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

namespace godwit::kvm {

Status KvmClock::freeze() {
    if (frozen_.has_value())
        return {};
    kvm_clock_data data{};
    TRY(KVM_CONTROL(vm_fd_, KVM_GET_CLOCK, &data));
    frozen_ = data.clock;
    return {};
}

Status KvmClock::thaw() {
    if (!frozen_.has_value())
        return {};
    kvm_clock_data data{};
    data.clock = *frozen_;
    TRY(KVM_CONTROL(vm_fd_, KVM_SET_CLOCK, &data));
    frozen_.reset();
    return {};
}

} // namespace godwit::kvm
