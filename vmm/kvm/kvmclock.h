// SPDX-License-Identifier: Apache-2.0
//
// The paravirtual clock of a VM. It stands still while the guest is paused, here and over a migration, so
// that the guest never sees it jump. Reference: Linux Documentation/virt/kvm/api.rst, KVM_GET_CLOCK;
// x86/msr.rst. Owned by VcpuSet, called with every vCPU parked.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <optional>

namespace godwit::kvm {

class KvmClock {
  public:
    explicit KvmClock(int vm_fd) : vm_fd_(vm_fd) {}

    // Keeps the value of now. Idempotent.
    Status freeze();
    // Goes on from the kept value.
    Status thaw();

    // While frozen, in ns.
    const std::optional<std::uint64_t>& frozen() const { return frozen_; }
    // What thaw() will go on from: the value that came with the guest.
    void set_frozen(std::uint64_t ns) { frozen_ = ns; }

  private:
    int vm_fd_;
    std::optional<std::uint64_t> frozen_;
};

} // namespace godwit::kvm
