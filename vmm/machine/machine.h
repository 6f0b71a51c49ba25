// SPDX-License-Identifier: Apache-2.0
//
// The machine: the board's parts, wired, and their life together. Addresses and interrupts are board.h's.
//
//     auto machine = TRY(Machine::create(config, loop, events));
//     TRY(machine->boot());                              // or a migration fills it
//     TRY(machine->release(Machine::Hold::NotStarted));  // it runs
//
// The guest runs while nobody holds it. Each reason to hold it is independent: an operator's pause survives a
// migration, and a guest that was handed over never runs here again.
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
#include "vmm/machine/board.h"
#include "vmm/machine/boot/loader.h"
#include "vmm/machine/config/machine_config.h"
#include "vmm/machine/virtio_unit.h"
#include "vmm/memory/guest_memory.h"

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <vector>

namespace godwit {

// What the guest does to its machine. Called on vCPU threads: answers must be quick, and act on another
// thread.
class MachineEvents {
  public:
    virtual ~MachineEvents() = default;
    virtual void guest_powered_off() = 0;
    virtual void guest_reset() = 0;
    // The guest cannot go on: triple fault, emulation failure.
    virtual void guest_crashed(Error why) = 0;
};

class Machine final : private kvm::VcpuEvents, private Ged::Events {
  public:
    // Opens everything that the configuration names, and runs nothing. `loop` runs already, and both outlive
    // the machine.
    static Result<std::unique_ptr<Machine>> create(const MachineConfig& config, Loop& loop,
                                                   MachineEvents& events);
    ~Machine() override;

    // Takes the disks' locks, loads the kernel and sets the boot vCPU. Precondition: never run, or reset.
    Status boot();
    // Back to the state after create(), guest RAM included. Precondition: held.
    Status reset();

    enum class Hold : unsigned {
        NotStarted = 1, // set after create()
        Operator = 2,
        Migration = 4,
        HandedOver = 8, // another process owns the guest
        Restart = 16,
        Save = 32, // while the guest is written to a file
    };
    // vCPUs, then devices, stop; nothing changes the guest's memory or disks afterwards. Idempotent.
    Status hold(Hold reason);
    Status release(Hold reason);
    bool held(Hold reason) const { return (holds_.load() & static_cast<unsigned>(reason)) != 0; }
    bool running() const { return holds_.load() == 0; }
    // The guest powered itself off, reset itself or crashed, and nobody has dealt with it yet.
    bool stopped_by_guest() const { return stopped_by_guest_.load(); }

    // Any thread.
    void press_power_button();

    // ---- for a migration, while held

    // In the order of the stream.
    const std::vector<StateSection*>& sections() const { return sections_; }
    GuestMemory& memory() { return *memory_; }
    kvm::DirtyLog& dirty_log() { return *dirty_log_; }
    const std::vector<std::unique_ptr<VirtioUnit>>& units() const { return units_; }
    const MachineConfig& config() const { return config_; }
    kvm::VcpuSet& vcpus() { return *vcpus_; }
    // All that this machine's --cpu allows on this host.
    const cpu::CpuModel& cpu_offer() const { return cpu_offer_; }
    // Gives an empty machine the processor that a guest has elsewhere, and what follows from it: where PCI's
    // 64-bit window is.
    Status adopt_cpu(const cpu::CpuModel& model);
    Loop& loop() { return loop_; }
    // Disk locks: the owner of the guest has them.
    Status lock_disks();
    Status unlock_disks();
    // While the guest runs: shortens the next unlock_disks().
    void write_back_disks();

  private:
    Machine(const MachineConfig& config, Loop& loop, MachineEvents& events);

    Status build_core();
    Status build_chipset();
    Status build_units();
    void list_sections();

    Status stop_devices();
    Status start_devices();
    void reset_devices();

    // kvm::VcpuEvents and Ged::Events: on vCPU threads.
    void on_stop(std::uint32_t vcpu, kvm::StopReason reason) override;
    void on_error(std::uint32_t vcpu, Error error) override;
    void power_off() override;
    void reset_requested() override;

    const MachineConfig config_;
    Loop& loop_;
    MachineEvents& events_;
    std::future<Result<boot::PreparedKernel>> kernel_;

    std::mutex life_;                                                      // serialises hold, release, reset
    std::atomic<unsigned> holds_{static_cast<unsigned>(Hold::NotStarted)}; // written under life_
    std::atomic<bool> stopped_by_guest_{false};

    std::unique_ptr<GuestMemory> memory_;
    std::unique_ptr<kvm::Kvm> kvm_;
    std::unique_ptr<kvm::Vm> vm_;
    std::unique_ptr<kvm::DirtyLog> dirty_log_;
    cpu::CpuModel cpu_offer_;
    board::Window mmio64_{}; // depends on the width of physical addresses
    Bus ports_{"port"};
    Bus mmio_{"mmio"};

    // The loop's.
    std::unique_ptr<IrqLine> serial_irq_;
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
