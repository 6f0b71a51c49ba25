// SPDX-License-Identifier: Apache-2.0
//
// Virtio over PCI, modern interface only: virtio 1.2 section 4.1. Decodes what the driver does to the
// function's registers into calls of the virtio core, turns the core's notifications into MSI-X messages or
// INTx, and owns the transport's part of the saved state (QEMU 7.2's virtio-pci). Layout: virtio_spec.h.
// Missing: legacy interface, VIRTIO_F_NOTIFICATION_DATA, shared memory regions. Threads: loop.
#pragma once

#include "devices/doorbells.h"
#include "devices/irq.h"
#include "devices/virtio/core.h"
#include "devices/virtio/transport.h"
#include "transports/pci/function.h"
#include "transports/pci/host.h"
#include "transports/pci/msix.h"
#include "transports/pci/virtio_pci_state.h"

#include <memory>
#include <optional>

namespace godwit::pci {

class VirtioPci final : public Function, public virtio::Transport {
  public:
    // Plugs the device in `slot` (nothing: the first free one) and attaches itself to the core, with one
    // MSI-X vector for each queue and one for configuration changes. All references outlive the function.
    static Result<std::unique_ptr<VirtioPci>> create(PciHost& host, virtio::Core& core,
                                                     InterruptController& interrupts,
                                                     DoorbellRegistry& doorbells,
                                                     std::optional<std::uint8_t> slot = std::nullopt);

    // ---- virtio::Transport, and Function

    void reset() override;

    std::string path() const override { return address(); }
    void notify_queue(std::uint16_t queue) override;
    void notify_config() override;
    Status start_doorbells() override;
    void stop_doorbells() override;
    void device_reset() override;

    Status save_config(StateWriter& writer) override;
    Status save_queue(StateWriter& writer, std::uint16_t queue) override;
    bool has_extra_state() const override { return true; }
    Status save_extra_state(StateWriter& writer) override;
    Status load_config(StateReader& reader) override;
    Status load_queue(StateReader& reader, std::uint16_t queue) override;
    Status load_extra_state(StateReader& reader) override;
    Status commit_load() override;
    void discard_load() override;

  private:
    // The modern BAR on the bus.
    class ModernBar final : public BusDevice {
      public:
        explicit ModernBar(VirtioPci& owner) : owner_(owner) {}
        std::string_view name() const override { return owner_.name(); }
        void read(std::uint64_t offset, std::span<std::byte> data) override {
            owner_.modern_read(offset, data);
        }
        void write(std::uint64_t offset, std::span<const std::byte> data) override {
            owner_.modern_write(offset, data);
        }

      private:
        VirtioPci& owner_;
    };
    struct Loaded {
        VirtioPciState state;
        bool modern_state;
    };

    VirtioPci(PciHost& host, virtio::Core& core, std::unique_ptr<Msix> msix);
    void add_capabilities();

    // ---- registers: virtio_registers.cc

    void modern_read(std::uint64_t offset, std::span<std::byte> out);
    void modern_write(std::uint64_t offset, std::span<const std::byte> data);
    void common_read(std::uint32_t offset, std::span<std::byte> out) const;
    void common_write(std::uint32_t offset, std::span<const std::byte> data);
    void write_queue_field(CommonField field, std::uint32_t value);
    void enable_queue(std::uint16_t index);
    void reset_queue(std::uint16_t index);
    std::uint16_t valid_vector(std::uint32_t vector) const;
    // The window of the PCI configuration access capability (section 4.1.4.9): offset and length of the
    // access to the modern BAR that the driver set up, when it is a valid one.
    struct Window {
        std::uint32_t offset;
        std::uint32_t length;
    };
    std::optional<Window> config_window() const;
    void config_will_be_read(std::uint32_t offset, std::size_t length) override;
    void config_was_written(std::uint32_t offset, std::size_t length) override;

    // ---- interrupts and doorbells

    void notify_vector(std::uint16_t vector);
    // Section 4.1.5.3, 4.1.5.4: without MSI-X the line follows the interrupt status.
    void update_intx() { set_intx(!msix_->enabled() && core_.isr() != 0); }
    // Where each queue's doorbell is while the BAR is mapped (section 4.1.4.4).
    Doorbells::Places doorbell_places() const;
    void bars_moved() override;

    virtio::Core& core_;
    std::unique_ptr<Msix> msix_;
    ModernBar modern_bar_;
    VirtioPciState state_;
    std::unique_ptr<Doorbells> doorbells_;
    std::optional<Loaded> loaded_;
    log::RateLimit guest_errors_;
};

} // namespace godwit::pci
