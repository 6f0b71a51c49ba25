// SPDX-License-Identifier: Apache-2.0
//
// A guest with what runs it, as one godwit process treats it: booted, held and let go, moved, saved, ended.
// `Machine` runs it on vCPUs; whatever else implements this is controlled, moved and saved in the same way.
//
//     auto guest = TRY(factory(config, loop, events));
//     TRY(guest->boot());                            // or a migration fills it
//     TRY(guest->release(Guest::Hold::NotStarted));  // it runs
//
// The guest runs while nobody holds it. Each reason to hold it is independent: an operator's pause survives a
// migration, and a guest that was handed over never runs here again.
//
// Threads: hold(), release(), boot(), reset() and everything that is for a held guest: any thread but the
// loop's and those that run the guest (holding waits for these, and they may wait for the loop).
#pragma once

#include "migration/boot/boot_source.h"
#include "migration/machine_port.h"
#include "migration/state/section.h"
#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/config/machine_config.h"
#include "vmm/machine/standstill.h"
#include "vmm/machine/write_back.h"
#include "vmm/memory/guest_memory.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace godwit {

// A request to a disk failed.
struct DiskFailure {
    std::string disk; // its id
    bool write = false;
    std::string_view action; // "stop", "report" or "ignore": the disk's policy (devices/virtio/blk_policy.h)
    bool no_space = false;
    std::string reason;
};

// What the guest does to its machine, or meets there. Called on the threads that run it, or the loop's:
// answers must be quick, and act on another thread.
class MachineEvents {
  public:
    virtual ~MachineEvents() = default;
    virtual void guest_powered_off() = 0;
    virtual void guest_reset() = 0;
    // The guest cannot go on: triple fault, emulation failure.
    virtual void guest_crashed(Error why) = 0;
    // With the action "stop" the guest should be held (Hold::IoError) as long as waits_for_disk().
    virtual void disk_failed(DiskFailure failure) = 0;
};

// How a guest stopped by itself.
enum class GuestStop { None, PowerOff, Reset, Crash };

// What such a guest cannot be moved or saved for. Precondition: not None.
Error stop_error(GuestStop stop);

class Guest {
  public:
    virtual ~Guest() = default;

    virtual const MachineConfig& config() const = 0;

    // Takes the disks' locks and prepares the guest's start. Precondition: never run, or reset; boot_source()
    // is known, or the configuration names it.
    virtual Status boot() = 0;
    // What the configuration names to boot with is read and checked, if it names anything; boot() does the
    // same.
    virtual Status read_boot_source() = 0;
    // What it boots with: what the configuration named, else what came with the guest, else null.
    migration::BootSourcePtr boot_source() const;
    // It came with the guest; null when the guest is not here any more. A source that was given stays.
    void set_boot_source_that_came(migration::BootSourcePtr source);
    // Back to the state after creation, guest RAM included. Precondition: held.
    Status reset();

    enum class Hold : unsigned {
        NotStarted = 1, // set after creation
        Operator = 2,
        Migration = 4,
        HandedOver = 8, // another process owns the guest
        Restart = 16,
        Save = 32,    // while the guest is written to a file
        IoError = 64, // requests to a disk failed; letting go tries them again
    };
    // The guest stands still: nothing changes its memory or disks afterwards. Idempotent. After an error
    // (storage that does not answer) it runs on, unless the error says that it does not.
    Status hold(Hold reason);
    Status release(Hold reason);
    bool held(Hold reason) const { return (holds_.load() & static_cast<unsigned>(reason)) != 0; }
    bool running() const { return holds_.load() == 0; }
    // Nobody has dealt with it yet.
    GuestStop stopped_by_guest() const { return stopped_by_guest_.load(); }

    // Requests to a disk failed, and nothing was told to the guest; they are tried again when it goes on.
    virtual bool waits_for_disk() const { return false; }

    // Any thread.
    virtual void press_power_button() = 0;
    // What stands behind the serial port: "pty /dev/pts/7".
    virtual std::string console() const = 0;

    // ---- for a migration

    // As the migration sees it; lives as long as the guest.
    virtual migration::MachinePort& port() = 0;
    virtual GuestMemory& memory() = 0;
    // In the order of the stream.
    virtual const std::vector<StateSection*>& sections() const = 0;
    // The processor that the guest was given, and all that this host can give.
    virtual cpu::CpuModel cpu() const = 0;
    virtual const cpu::CpuModel& cpu_offer() const = 0;
    // Gives an empty machine the processor that a guest has elsewhere.
    virtual Status adopt_cpu(const cpu::CpuModel& model) = 0;
    // And what its devices were not given, but the guest's have: addresses.
    virtual void adopt_devices(const std::vector<migration::DeviceDescription>& devices) = 0;
    // Disk locks: the owner of the guest has them. Held; what it wrote is on stable storage before they are
    // let go of.
    virtual Status lock_disks() = 0;
    // The same for a guest that starts, with patience: a process that was killed keeps its locks for a moment
    // after its end, since the kernel takes its ring apart later
    // (findings/io-uring-keeps-locks-after-exit.sh).
    Status lock_disks_at_start();
    virtual Status unlock_disks() = 0;
    // What brings the guest's writes there.
    virtual WriteBack::Pass write_back_pass() const = 0;
    // When it stopped, by the host's clock in ns since 1970; nothing where its clock does not care. Held.
    virtual std::optional<std::int64_t> stopped_at() const = 0;
    virtual void set_stopped_at(std::int64_t ns) = 0;
    // Held, or not started.
    virtual std::vector<DiskContent> disk_contents() const = 0;
    // It goes on from a state that may have run before, and is told, if it can be. Held.
    virtual Status begin_generation() = 0;
    // The guest came from elsewhere and runs here now: says so to whom it concerns.
    virtual void arrived() = 0;

  protected:
    void set_given_boot_source(migration::BootSourcePtr source);
    // On the threads that run the guest, before MachineEvents hears of it. Only the first counts, and is to
    // be told, until reset(): a guest that asks again and again while it is being stopped is stopped once.
    [[nodiscard]] bool stop_by_guest(GuestStop stop) {
        GuestStop none = GuestStop::None;
        return stopped_by_guest_.compare_exchange_strong(none, stop);
    }

  private:
    // Both under life_, so one at a time.
    virtual Status stop() = 0;
    virtual Status start() = 0;
    // The machine's part of reset(): no section has scratch state any more.
    virtual Status clear() = 0;

    std::mutex life_;                                                      // serialises hold, release, reset
    std::atomic<unsigned> holds_{static_cast<unsigned>(Hold::NotStarted)}; // written under life_
    std::atomic<GuestStop> stopped_by_guest_{GuestStop::None};
    mutable std::mutex boot_mutex_;
    migration::BootSourcePtr given_; // under boot_mutex_
    migration::BootSourcePtr came_;  // under boot_mutex_
};

} // namespace godwit
