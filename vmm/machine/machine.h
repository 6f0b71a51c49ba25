// SPDX-License-Identifier: Apache-2.0
//
// The machine: the board's parts, wired, and their life together. Addresses and interrupts are board.h's.
//
//     auto machine = TRY(Machine::create(config, loop, events));
//     TRY(machine->boot());                              // or a migration fills it
//     TRY(machine->release(Machine::Hold::NotStarted));  // it runs
//
// Threads: hold(), release(), boot(), reset() and everything that is for a paused machine: any thread but the
// loop's and the vCPUs' (pausing waits for vCPUs, which may wait for the loop). Devices belong to the loop.
#pragma once

#include "devices/console/console.h"
#include "devices/ged.h"
#include "devices/reset_ports.h"
#include "devices/serial/serial.h"
#include "transports/ccw/css.h"
#include "transports/pci/host.h"
#include "vmm/kvm/dirty_log.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu_set.h"
#include "vmm/kvm/vm.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/acpi/generation.h"
#include "vmm/machine/board.h"
#include "vmm/machine/boot/loader.h"
#include "vmm/machine/config/machine_config.h"
#include "vmm/machine/guest.h"
#include "vmm/machine/migration_port.h"
#include "vmm/machine/virtio_unit.h"
#include "vmm/memory/guest_memory.h"

#include <future>
#include <memory>
#include <vector>

namespace godwit {

class Machine final : public Guest, private kvm::VcpuEvents, private Ged::Events {
  public:
    // Opens everything that the configuration names, and runs nothing. `loop` runs already, and both outlive
    // the machine.
    static Result<std::unique_ptr<Machine>> create(const MachineConfig& config, Loop& loop,
                                                   MachineEvents& events);
    ~Machine() override;

    // Loads the kernel and sets the boot vCPU.
    Status boot() override;
    Status read_boot_source() override;
    void press_power_button() override;

    const MachineConfig& config() const override { return config_; }
    migration::MachinePort& port() override { return port_; }
    const std::vector<StateSection*>& sections() const override { return sections_; }
    GuestMemory& memory() override { return *memory_; }
    cpu::CpuModel cpu() const override { return vcpus_->at(0).cpu_model(); }
    // All that this machine's --cpu allows on this host.
    const cpu::CpuModel& cpu_offer() const override { return cpu_offer_; }
    // What follows from it changes too: where PCI's 64-bit window is.
    Status adopt_cpu(const cpu::CpuModel& model) override;
    void adopt_devices(const std::vector<migration::DeviceDescription>& devices) override;
    Status lock_disks() override;
    Status unlock_disks() override;
    std::string console() const override { return console_->describe(); }
    WriteBack::Pass write_back_pass() const override;
    std::optional<std::int64_t> stopped_at() const override { return vcpus_->kvmclock().stopped_at(); }
    void set_stopped_at(std::int64_t ns) override { vcpus_->kvmclock().set_stopped_at(ns); }
    std::vector<DiskContent> disk_contents() const override;
    Status begin_generation() override;
    void arrived() override;
    bool waits_for_disk() const override;

    // ---- for its port

    kvm::DirtyLog& dirty_log() { return *dirty_log_; }
    const std::vector<std::unique_ptr<VirtioUnit>>& units() const { return units_; }
    kvm::VcpuSet& vcpus() { return *vcpus_; }
    Loop& loop() { return loop_; }

  private:
    Machine(const MachineConfig& config, Loop& loop, MachineEvents& events);

    Result<boot::PreparedKernel> prepare_kernel();
    Status build_core();
    Status build_chipset();
    Status build_units();
    void list_sections();

    // vCPUs, then devices; and the other way round.
    Status stop() override;
    Status start() override;
    Status clear() override;
    Status stop_devices();
    Status start_devices();
    void reset_devices();

    // kvm::VcpuEvents and Ged::Events: on vCPU threads.
    void on_stop(std::uint32_t vcpu, kvm::StopReason reason) override;
    void on_error(std::uint32_t vcpu, Error error) override;
    void power_off() override;
    void reset_requested() override;
    void crashed(Error why);

    const MachineConfig config_;
    Loop& loop_;
    MachineEvents& events_;
    std::future<Result<boot::PreparedKernel>> kernel_; // of the first start, with what is kept of its files

    MigrationPort port_{*this};
    std::unique_ptr<GuestMemory> memory_;
    std::unique_ptr<kvm::Kvm> kvm_;
    std::unique_ptr<kvm::Vm> vm_;
    std::unique_ptr<kvm::DirtyLog> dirty_log_;
    cpu::CpuModel cpu_offer_;
    std::optional<acpi::GenerationId> generation_; // of the next boot
    board::Window mmio64_{};                       // depends on the width of physical addresses
    Bus ports_{"port"};
    Bus mmio_{"mmio"};

    // The loop's.
    std::unique_ptr<IrqLine> serial_irq_;
    std::shared_ptr<const UnixListener> console_socket_; // goes after the console
    std::unique_ptr<Console> console_;
    std::unique_ptr<Serial> serial_;
    std::unique_ptr<IrqLine> ged_irq_;
    std::unique_ptr<Ged> ged_;
    ResetPort reset_control_{ResetPort::Kind::ResetControl, [this] { reset_requested(); }};
    ResetPort keyboard_reset_{ResetPort::Kind::Keyboard, [this] { reset_requested(); }};
    std::unique_ptr<pci::PciHost> pci_host_;
    std::unique_ptr<ccw::ChannelSubsystem> css_; // only when a device is on it
    std::vector<std::unique_ptr<VirtioUnit>> units_;

    std::unique_ptr<kvm::VcpuSet> vcpus_; // its threads use everything above
    std::vector<std::unique_ptr<StateSection>> owned_sections_;
    std::vector<StateSection*> sections_;
};

} // namespace godwit
