// SPDX-License-Identifier: Apache-2.0
//
// A machine without vCPUs: guest RAM, a UART, disks, and threads that work on them as the test guest does. To
// vmm/control, to a migration and to a saved file it is a guest as any other (vmm/machine/guest.h).
//
// Threads: as Guest. Console and disk locks belong to the loop.
#pragma once

#include "devices/console/console.h"
#include "devices/irq.h"
#include "devices/serial/serial.h"
#include "devices/virtio/blk_image.h"
#include "guest-tests/plain/cpus.h"
#include "guest-tests/plain/plain_port.h"
#include "guest-tests/plain/programs.h"
#include "guest-tests/plain/state.h"
#include "vmm/machine/guest.h"

#include <memory>
#include <optional>
#include <vector>

namespace godwit::plain {

// A disk of the machine. The programs use the first one.
struct PlainDisk {
    std::string id;
    virtio::BlkImage image;
};

class PlainMachine final : public Guest {
  public:
    // Refuses what this machine does not have: networks, entropy devices, processors to choose from.
    static Result<std::unique_ptr<Guest>> create(const MachineConfig& config, Loop& loop,
                                                 MachineEvents& events);
    ~PlainMachine() override;

    const MachineConfig& config() const override { return config_; }
    // The programs are built in; of the kernel and the initrd that the configuration names, the guest reports
    // what they are.
    Status boot() override;
    Status read_boot_source() override;
    void press_power_button() override;

    migration::MachinePort& port() override { return port_; }
    GuestMemory& memory() override { return *memory_; }
    const std::vector<StateSection*>& sections() const override { return section_list_; }
    cpu::CpuModel cpu() const override;
    const cpu::CpuModel& cpu_offer() const override;
    Status adopt_cpu(const cpu::CpuModel& model) override;
    void adopt_devices(const std::vector<migration::DeviceDescription>&) override {}
    Status lock_disks() override;
    Status unlock_disks() override;
    std::string console() const override { return console_->describe(); }
    WriteBack::Pass write_back_pass() const override;
    // Its clock stands still with it.
    std::optional<std::int64_t> stopped_at() const override { return {}; }
    void set_stopped_at(std::int64_t) override {}
    std::vector<DiskContent> disk_contents() const override;
    Status begin_generation() override { return {}; }
    void arrived() override {}

    // ---- for its port

    const std::vector<PlainDisk>& disks() const { return disks_; }
    Cpus& cpus() { return *cpus_; }

  private:
    // What comes in at the UART wakes the first CPU.
    class Wake final : public IrqLine {
      public:
        explicit Wake(PlainMachine& machine) : machine_(machine) {}
        void set_level(bool high) override;

      private:
        PlainMachine& machine_;
    };

    PlainMachine(const MachineConfig& config, Loop& loop, MachineEvents& events);
    Status build();
    Status build_serial();
    void list_sections();
    const virtio::BlkImage* first_disk() const { return disks_.empty() ? nullptr : &disks_.front().image; }
    void forget();
    std::uint64_t now() const;
    std::chrono::nanoseconds step(std::uint32_t cpu);
    void power_off();
    void reset_itself();

    Status stop() override;
    Status start() override;
    Status clear() override;

    const MachineConfig config_;
    Loop& loop_;
    MachineEvents& events_;
    PlainPort port_{*this};
    std::unique_ptr<GuestMemory> memory_;
    std::vector<PlainDisk> disks_;
    Wake wake_{*this};
    std::shared_ptr<const UnixListener> console_socket_; // goes after the console
    std::unique_ptr<Console> console_;                   // the loop's
    std::unique_ptr<Serial> serial_;

    State state_;
    Cpus::Clock::time_point clock_base_; // when the guest's clock was zero, while it runs
    std::optional<Programs> programs_;   // while it runs
    std::vector<std::unique_ptr<StateSection>> sections_;
    std::vector<StateSection*> section_list_;
    std::unique_ptr<Cpus> cpus_; // last: its threads use everything above
};

} // namespace godwit::plain
