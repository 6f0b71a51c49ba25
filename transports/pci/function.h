// SPDX-License-Identifier: Apache-2.0
//
// One PCI function on bus 0: configuration space, memory BARs, its INTx pin, and the record in which all of
// it migrates (QEMU's PCIDevice). What the function does is the derived class's. Threads: loop.
#pragma once

#include "migration/state/reader.h"
#include "migration/state/writer.h"
#include "transports/pci/bars.h"
#include "transports/pci/config_space.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::pci {

class PciHost;

class Function {
  public:
    // The host outlives the function. `name` is for messages.
    Function(PciHost& host, std::string name, const ConfigSpace::Identity& identity);
    virtual ~Function();
    Function(const Function&) = delete;
    Function& operator=(const Function&) = delete;

    // Takes a place on the bus: the slot given, or the first free one from 1. Refuses one that is taken.
    // Before the guest runs.
    Status plug(std::optional<std::uint8_t> slot);

    const std::string& name() const { return name_; }
    std::uint8_t slot() const { return slot_; }
    // "0000:00:01.0"
    std::string address() const;

    // ---- the guest, through the host

    void config_read(std::uint32_t offset, std::span<std::byte> out);
    void config_write(std::uint32_t offset, std::span<const std::byte> data);

    // What this function adds to its INTx line: asserted, and not held back by the command register.
    bool intx_pending() const { return intx_asserted_ && !intx_disabled(); }
    // Maps BARs again after another one may have made room.
    void retry_bars();

    // As when the machine is reset: configuration space as after creation.
    virtual void reset();

  protected:
    // Only while the function is being set up.
    void add_bar(unsigned index, Bars::Kind kind, std::uint64_t size, BusDevice& registers) {
        bars_.add(index, kind, size, registers);
    }

    ConfigSpace& config() { return config_; }
    const ConfigSpace& config() const { return config_; }
    const Bars& bars() const { return bars_; }
    PciHost& host() { return host_; }
    std::uint16_t command() const { return config_.get<std::uint16_t>(PCI_COMMAND); }
    bool bus_master() const { return (command() & PCI_COMMAND_MASTER) != 0; }
    bool intx_disabled() const { return (command() & PCI_COMMAND_INTX_DISABLE) != 0; }

    // Idempotent. Ignored by a function without an interrupt pin.
    void set_intx(bool asserted);

    // Before the guest's read takes place; after its write took place.
    virtual void config_will_be_read(std::uint32_t, std::size_t) {}
    virtual void config_was_written(std::uint32_t, std::size_t) {}
    virtual void bars_moved() {}

    // ---- state. load_record() parses and checks into scratch; commit_record() makes that live.

    void save_record(StateWriter& writer) const;
    Status load_record(StateReader& reader);
    void commit_record();
    void discard_record() { loaded_.reset(); }
    // The configuration space of the record loaded last. Precondition: load_record() went well.
    const ConfigSpace::Image& loaded_config() const { return loaded_->config; }

  private:
    struct Loaded {
        ConfigSpace::Image config;
        bool intx_asserted;
    };

    void bars_changed();
    void show_intx_status();

    PciHost& host_;
    std::string name_;
    const bool has_intx_; // of the identity: what a loaded state shows in the register drives nothing
    std::uint8_t slot_ = 0;
    bool plugged_ = false;
    ConfigSpace config_;
    Bars bars_;
    ConfigSpace::Image after_creation_{};
    bool intx_asserted_ = false;
    std::optional<Loaded> loaded_;
};

} // namespace godwit::pci
