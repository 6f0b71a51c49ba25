// SPDX-License-Identifier: Apache-2.0
//
// MSI-X of one function (PCI 3.0 section 6.8.2): capability, table and pending bit array in one 4 KiB BAR,
//
//     0x000  table, 16 bytes for each vector          0x800  pending bits
//
// and the delivery of each vector. A vector that is masked, or whose function is, pends until it is not. A
// message is routed when its vector is open and address or data changed, so that notify() is one irqfd write.
// Threads: loop.
#pragma once

#include "devices/bus.h"
#include "devices/irq.h"
#include "migration/state/reader.h"
#include "migration/state/writer.h"
#include "transports/pci/config_space.h"
#include "vmm/base/log.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace godwit::pci {

class Msix final : public BusDevice {
  public:
    static constexpr std::uint64_t kBarSize = 4096;
    static constexpr std::uint32_t kPendingOffset = 0x800;
    // As many table entries as fit below the pending bits; more would move them, and QEMU moves them
    // elsewhere.
    static constexpr std::uint16_t kMaxVectors = kPendingOffset / PCI_MSIX_ENTRY_SIZE;

    // `name` is for messages. An error says that the host gives no more interrupts, or that `vectors` is
    // beyond kMaxVectors.
    static Result<std::unique_ptr<Msix>> create(std::string name, std::uint16_t vectors,
                                                InterruptController& interrupts);

    // Adds the capability at `offset`, with table and pending bits in BAR `bar`.
    void add_capability(ConfigSpace& config, std::uint8_t offset, unsigned bar) const;

    std::uint16_t vectors() const { return static_cast<std::uint16_t>(delivery_.size()); }
    bool enabled() const { return (control_ & PCI_MSIX_FLAGS_ENABLE) != 0; }

    // The guest wrote the message control word of the capability.
    void set_control(std::uint16_t control);
    // Delivers a vector, or leaves it pending. Ignores a vector that does not exist.
    void notify(std::uint16_t vector);
    // The device behind was reset: what it had to say before is void.
    void clear_pending();
    void reset();

    // ---- the BAR. Aligned accesses of 4 and 8 bytes count, others read zeros and write nothing.
    std::string_view name() const override { return name_; }
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;

    // ---- state: table, then pending bits. Loading is into scratch; commit() makes it live and delivers what
    // is pending and open under `control`.
    void save(StateWriter& writer) const;
    Status load(StateReader& reader);
    void commit(std::uint16_t control);
    void discard() { loaded_.reset(); }

  private:
    struct Message {
        std::uint64_t address;
        std::uint32_t data;
        bool operator==(const Message&) const = default;
    };
    struct Delivery {
        std::unique_ptr<MsiVector> vector;
        std::optional<Message> routed;
    };
    struct Tables {
        std::vector<std::byte> table;
        std::vector<std::byte> pending;
    };

    Msix(std::string name, std::vector<Delivery> delivery);
    static Tables blank(std::size_t vectors);
    std::span<const std::byte> entry(std::uint16_t vector) const;
    bool masked(std::uint16_t vector) const;
    bool pending(std::uint16_t vector) const;
    void set_pending(std::uint16_t vector, bool on);
    // Routes an open vector and delivers it when it pends.
    void update(std::uint16_t vector);
    void update_all();
    void trigger(std::uint16_t vector);

    std::string name_;
    std::uint16_t control_ = 0;
    Tables tables_;
    std::vector<Delivery> delivery_;
    std::optional<Tables> loaded_;
    log::RateLimit errors_;
};

} // namespace godwit::pci
