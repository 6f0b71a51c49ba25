// SPDX-License-Identifier: Apache-2.0
//
// PCI Express host bridge with one bus: configuration space at ECAM (PCI Express 3.0 section 7.2.2), slots,
// the windows through which BARs are reached, and the four INTx lines. State-compatible with QEMU 7.2's GPEX
// host: sections "0000:00:00.0/gpex_root", "PCIHost" and "PCIBUS", in this order.
// Threads: loop. vCPUs come in through the MMIO bus.
#pragma once

#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/loop_bus_device.h"
#include "migration/state/section.h"
#include "transports/pci/bars.h"
#include "transports/pci/function.h"

#include <array>
#include <memory>
#include <optional>

namespace godwit::pci {

// The "PCIHost" record.
struct HostState {
    std::uint32_t config_reg = 0; // address latch of the port mechanism, which this bridge does not have
};

// The "PCIBUS" record.
struct BusState {
    std::int32_t nirq = kIntxPins;
    // How many functions assert each line. Derived: on loading it follows from the functions' own records.
    std::array<std::int32_t, kIntxPins> irq_count{};
};

} // namespace godwit::pci

namespace godwit {

template <>
struct Schema<pci::HostState> {
    static constexpr std::string_view name = "PCIHost";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"config_reg", &pci::HostState::config_reg}};
};
static_assert(schema_is_complete<pci::HostState>());

template <>
struct Schema<pci::BusState> {
    static constexpr std::string_view name = "PCIBUS";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{EqualField{"nirq", &pci::BusState::nirq},
                                       Field{"irq_count", &pci::BusState::irq_count}};
    static Status validate(const pci::BusState& state);
};
static_assert(schema_is_complete<pci::BusState>());

} // namespace godwit

namespace godwit::pci {

struct HostConfig {
    std::uint64_t ecam = 0; // 256 buses of 1 MiB
    MmioWindows windows;
    std::uint32_t intx_gsi = 0; // line 0; lines 1 to 3 follow
};

class PciHost final : private BusDevice {
  public:
    // Maps ECAM. Bus and controller outlive the host, the host outlives its functions.
    static Result<std::unique_ptr<PciHost>> create(Loop& loop, Bus& mmio, InterruptController& interrupts,
                                                   const HostConfig& config);
    ~PciHost() override;

    // In the order of the stream.
    std::array<StateSection*, 3> sections();
    // As when the machine is reset, for every function.
    void reset();

    // ---- for functions

    Loop& loop() { return loop_; }
    Bus& bus() { return mmio_; }
    const MmioWindows& windows() const { return config_.windows; }
    // The windows of a guest that comes from another host. Before anything is mapped in them.
    void set_windows(const MmioWindows& windows) { config_.windows = windows; }

    // The slot taken: the one asked for, or the first free one from 1.
    Result<std::uint8_t> insert(Function& function, std::optional<std::uint8_t> slot);
    void remove(const Function& function);
    // Drives the lines from what every function asserts now.
    void update_intx();
    // `except` gave back a piece of a window.
    void retry_bars(const Function& except);

  private:
    class Bridge;
    class HostSection;
    class BusSection;

    PciHost(Loop& loop, Bus& mmio, const HostConfig& config);
    std::string_view name() const override { return "pcie-ecam"; }
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;
    Function* function_at(std::uint64_t offset, std::size_t length) const;
    std::array<std::int32_t, kIntxPins> intx_counts() const;

    Loop& loop_;
    Bus& mmio_;
    HostConfig config_;
    LoopBusDevice ecam_;
    bool mapped_ = false;
    std::array<std::unique_ptr<IrqLine>, kIntxPins> lines_;
    std::array<bool, kIntxPins> levels_{};
    std::array<Function*, kSlotCount> slots_{};
    HostState state_;
    // Declared last: the bridge leaves its slot when it goes.
    std::unique_ptr<HostSection> host_section_;
    std::unique_ptr<BusSection> bus_section_;
    std::unique_ptr<Bridge> bridge_;
};

} // namespace godwit::pci
