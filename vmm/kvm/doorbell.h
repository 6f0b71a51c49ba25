// SPDX-License-Identifier: Apache-2.0
//
// Guest writes that signal an eventfd inside the kernel: KVM_IOEVENTFD. Any thread.
#pragma once

#include "devices/irq.h"

namespace godwit::kvm {

class Doorbells final : public DoorbellRegistry {
  public:
    // The VM's descriptor must stay open as long as this and every doorbell live.
    explicit Doorbells(int vm_fd) : vm_fd_(vm_fd) {}
    Result<std::unique_ptr<Doorbell>> add_mmio(Gpa address, std::uint32_t width,
                                               std::optional<std::uint64_t> match,
                                               const EventFd& event) override;

  private:
    int vm_fd_;
};

} // namespace godwit::kvm
