// SPDX-License-Identifier: Apache-2.0
//
// The paravirtual clock of a VM. It stands still while the guest is paused. When the guest goes on, here or
// elsewhere, it continues from there, or, where it follows the host's clock, is put forward by the time that
// has passed meanwhile; never back. Reference: Linux Documentation/virt/kvm/api.rst, KVM_GET_CLOCK and
// KVM_SET_CLOCK; x86/msr.rst. Owned by VcpuSet, called with every vCPU parked.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <optional>

namespace godwit::kvm {

class KvmClock {
  public:
    KvmClock(int vm_fd, bool follows_host) : vm_fd_(vm_fd), follows_host_(follows_host) {}

    // Keeps the value of now, and when that is. Idempotent.
    Status freeze();
    // Goes on from the kept value.
    Status thaw();

    // While frozen, in ns.
    const std::optional<std::uint64_t>& frozen() const { return frozen_; }
    // What thaw() will go on from: the value that came with the guest.
    void set_frozen(std::uint64_t ns) {
        frozen_ = ns;
        stopped_at_.reset();
    }
    // While frozen: when it was, by the host's clock in ns since 1970. Not known of a guest that came from
    // who does not tell.
    const std::optional<std::int64_t>& stopped_at() const { return stopped_at_; }
    void set_stopped_at(std::int64_t ns) { stopped_at_ = ns; }

  private:
    int vm_fd_;
    bool follows_host_;
    std::optional<std::uint64_t> frozen_;
    std::optional<std::int64_t> stopped_at_;
};

} // namespace godwit::kvm
