// SPDX-License-Identifier: Apache-2.0
//
// A virtio device with its core and its transport: what one --disk, --net or --rng option makes. Threads:
// loop.
#pragma once

#include "devices/virtio/core.h"
#include "devices/virtio/stable_storage.h"
#include "migration/preflight/description.h"
#include "migration/preflight/host_state.h"
#include "transports/ccw/css.h"
#include "transports/pci/host.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/config/machine_config.h"
#include "vmm/memory/guest_memory.h"

#include <memory>
#include <string_view>

namespace godwit {

class MachineEvents;

// What devices are plugged into.
struct UnitPlaces {
    Loop& loop;
    GuestMemory& memory;
    pci::PciHost& pci;
    ccw::ChannelSubsystem* css; // null when no device is on it
    InterruptController& interrupts;
    DoorbellRegistry& doorbells;
    MachineEvents& events;
};

class VirtioUnit {
  public:
    virtual ~VirtioUnit() = default;

    virtual virtio::Core& core() = 0;
    // Where it is plugged in: "pci" or "ccw".
    virtual std::string_view transport() const = 0;
    // What preflight compares beside what the core knows.
    virtual void describe(migration::DeviceDescription& device) = 0;
    // A guest comes whose counterpart is this: takes over what was left to the guest. Not started.
    virtual void adopt(const migration::DeviceDescription&) {}
    // How the host's resources stand. `guest` is the source's counterpart, or null.
    virtual void describe_host(const migration::DeviceDescription* guest, migration::HostState& host) = 0;
    // Puts transport and device back to the state after creation.
    virtual void reset() = 0;
    // Host resources that only the owner of the guest may have (a disk's lock). Both are idempotent.
    virtual Status acquire() { return {}; }
    virtual Status relinquish() { return {}; }
    // Where what the guest writes goes; null when it writes nothing.
    virtual std::shared_ptr<virtio::StableStorage> storage() { return nullptr; }
    virtual std::optional<DiskContent> disk_content() { return {}; }
    // Has requests that failed and are tried again when it is started.
    virtual bool stalled() { return false; }
};

Result<std::unique_ptr<VirtioUnit>> make_disk_unit(const UnitPlaces& places, const DiskConfig& config);
// `machine` is its name: without mac=, the address follows from it, the host and the tap.
Result<std::unique_ptr<VirtioUnit>> make_net_unit(const UnitPlaces& places, const NetConfig& config,
                                                  std::string_view machine);
Result<std::unique_ptr<VirtioUnit>> make_rng_unit(const UnitPlaces& places, const RngConfig& config);

} // namespace godwit
