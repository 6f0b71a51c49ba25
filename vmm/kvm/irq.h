// SPDX-License-Identifier: Apache-2.0
//
// The in-kernel interrupt controllers seen from devices: IOAPIC inputs and message-signalled interrupts.
// Reference: Linux Documentation/virt/kvm/api.rst, KVM_IRQ_LINE, KVM_IRQFD, KVM_SET_GSI_ROUTING.
//
// GSIs 0 to 23 are the pins of the one IOAPIC, with the same number; every MSI vector takes a GSI above. The
// PIC that comes with KVM_CREATE_IRQCHIP gets no route and is masked: the board has none.
//
// Any thread.
#pragma once

#include "devices/irq.h"

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

namespace godwit::kvm {

inline constexpr std::uint32_t kIoApicPins = 24;

class IrqChip final : public InterruptController {
  public:
    // After KVM_CREATE_IRQCHIP and before the first vCPU. The VM's descriptor must stay open as long as this
    // lives, and this as long as every line and vector.
    static Result<std::unique_ptr<IrqChip>> create(int vm_fd, std::uint32_t maximum_routes);

    // Several lines of one GSI are wired together: the pin is high as long as one of them is (PCI INTx
    // sharing).
    Result<std::unique_ptr<IrqLine>> line(std::uint32_t gsi) override;
    Result<std::unique_ptr<MsiVector>> msi() override;

    // Routes change in our table at once and in KVM with the next trigger() of any vector, or here: so a
    // guest that programs a table of vectors costs one KVM_SET_GSI_ROUTING.
    Status commit_routes();

    // Everything that was triggered before this call is in the LAPICs and the IOAPIC when it returns: KVM may
    // hand an irqfd's interrupt to a worker. State is read after it.
    Status settle();

    // The IOAPIC as it was made. Call while the vCPUs are paused.
    Status reset();

  private:
    class Line;
    class Vector;
    struct Message {
        std::uint64_t address = 0;
        std::uint32_t data = 0;
        bool operator==(const Message&) const = default;
    };
    struct Gsi {
        Vector* vector = nullptr; // null: free
        std::optional<Message> route;
    };

    IrqChip(int vm_fd, std::uint32_t maximum_vectors) : vm_fd_(vm_fd), maximum_vectors_(maximum_vectors) {}
    Status mask_pic() const;
    Status commit_routes_locked();
    void set_line(std::uint32_t gsi, bool high);
    Status set_route(std::uint32_t gsi, std::optional<Message> route);
    void release(std::uint32_t gsi);
    Status assign_irqfd(std::uint32_t gsi, int event_fd, bool assign) const;

    int vm_fd_;
    std::uint32_t maximum_vectors_;
    std::mutex mutex_;
    std::array<std::uint32_t, kIoApicPins> high_lines_{}; // under mutex_: how many lines hold the pin high
    std::vector<Gsi> gsis_;                               // under mutex_: GSI kIoApicPins + index
    std::atomic<bool> routes_changed_{true};              // set under mutex_
};

} // namespace godwit::kvm
