// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvmclock.h"

#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <chrono>
#include <sys/ioctl.h>

namespace godwit::kvm {

namespace {

std::int64_t real_time() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

} // namespace

Status KvmClock::freeze() {
    if (frozen_.has_value())
        return {};
    kvm_clock_data data{};
    TRY(KVM_CONTROL(vm_fd_, KVM_GET_CLOCK, &data));
    frozen_ = data.clock;
    // Linux before 5.16 does not tell the two together.
    stopped_at_ =
        (data.flags & KVM_CLOCK_REALTIME) != 0 ? static_cast<std::int64_t>(data.realtime) : real_time();
    return {};
}

Status KvmClock::thaw() {
    if (!frozen_.has_value())
        return {};
    kvm_clock_data data{};
    data.clock = *frozen_;
    if (follows_host_ && stopped_at_.has_value()) {
        const std::int64_t now = real_time();
        if (const std::int64_t passed = now - *stopped_at_; passed > 0)
            data.clock += static_cast<std::uint64_t>(passed);
        // KVM adds what passes from then until it sets the clock.
        if ((::ioctl(vm_fd_, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME) != 0) {
            data.flags = KVM_CLOCK_REALTIME;
            data.realtime = static_cast<std::uint64_t>(now);
        }
    }
    TRY(KVM_CONTROL(vm_fd_, KVM_SET_CLOCK, &data));
    frozen_.reset();
    stopped_at_.reset();
    return {};
}

} // namespace godwit::kvm
