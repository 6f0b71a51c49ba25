// SPDX-License-Identifier: Apache-2.0
//
// A virtio device as the core sees it: identity, configuration bytes, start, stop, state. A device never
// hears which transport it sits on.
//
// Life: new -> start() -> (queue_notified(), its own I/O)* -> stop() -> start() again after a pause, or
// reset(). Threads: every method is called on the loop's thread.
#pragma once

#include "devices/virtio/queue.h"
#include "migration/state/reader.h"
#include "migration/state/writer.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::virtio {

// Identity and limits of a device: never changes during its life.
struct DeviceTraits {
    std::uint16_t device_id = 0;     // virtio 1.2 section 5: 1 network, 2 block, 4 entropy
    std::string_view record;         // name of its state section: "virtio-blk"
    std::uint32_t state_version = 1; // version of that section (QEMU's)
    std::uint64_t features = 0; // offered, device-specific bits only; the core adds ring and transport bits
    std::uint64_t features_off = 0;         // that an operator has left out, of those that the core adds too
    std::vector<std::uint16_t> queue_sizes; // maximum and default size of each queue
    std::uint32_t config_length = 0;        // bytes of device configuration space
    std::span<const std::uint8_t> config_fields; // widths of its fields, from its start; rest: bytes
    std::string id;                              // the user's name for it, for messages: "net0"
    std::uint32_t pci_class = 0;                 // PCI class code (24 bits) that a PCI transport shows
};

// What a device may ask of the core. Loop thread only.
class DeviceHost {
  public:
    virtual ~DeviceHost() = default;
    // Buffers were used on this queue: interrupts the driver unless it said that it does not want to know
    // (virtio 1.2 section 2.7.7).
    virtual void queue_used(std::uint16_t queue) = 0;
    // The configuration space changed: bumps the generation and interrupts (section 2.5.1).
    virtual void config_changed() = 0;
    // The driver did something from which the device cannot recover: sets DEVICE_NEEDS_RESET (section 2.1.1),
    // stops the queues, logs `what` at a limited rate. The machine lives.
    virtual void device_broken(const Error& what) = 0;
    // After a stop() that failed: what was in flight has ended. A reset that had to wait is done now, within
    // this call.
    virtual void drained() {}
};

// The queues of a started device, indexed as in its section of the specification; a null pointer is a queue
// that the driver did not enable.
struct Activation {
    std::uint64_t features = 0;                 // negotiated
    DeviceEndian endian = DeviceEndian::Little; // of whatever the driver's buffers hold
    std::span<SplitQueue* const> queues;
    DeviceHost* host = nullptr;
};

class Device {
  public:
    virtual ~Device() = default;
    virtual const DeviceTraits& traits() const = 0;

    // Little-endian; the core turns it round for a legacy driver.
    // offset + out.size() <= traits().config_length.
    virtual void read_config(std::uint32_t offset, std::span<std::byte> out) = 0;
    virtual void write_config(std::uint32_t offset, std::span<const std::byte> data) = 0;
    // The driver wrote its features and they were accepted (FEATURES_OK), or a loaded state brought them.
    virtual void features_negotiated(std::uint64_t) {}

    // DRIVER_OK, or again after stop(). Looks at every queue at once: a notification may have come before.
    virtual Status start(const Activation& activation) = 0;
    virtual void queue_notified(std::uint16_t queue) = 0;
    // Takes no new buffer from a queue, waits for what is in flight and returns all of it. Idempotent.
    // Afterwards the device touches neither queues nor guest memory. An error says what did not end; then
    // stop() can be called again, or start() with the same queues, to go on.
    virtual Status stop() = 0;
    // Back to the state after creation. Precondition: stopped.
    virtual void reset() = 0;

    // The device's own part of its section (design: "save_device"). Precondition: stopped. `low_features` are
    // bits 0 to 31 of what the core saves as the driver's features, which may not be negotiated yet.
    virtual Status save_device(StateWriter& writer, std::uint32_t low_features) = 0;
    // The configuration space as the source's driver saw it last; all zeros when QEMU's driver never looked,
    // and shorter or longer than ours when the source offers other features. Scratch; an error refuses the
    // load.
    virtual Status load_config(std::span<const std::byte>) { return {}; }
    // Parses and checks into scratch. High feature bits are not loaded yet: `low_features` has bits 0 to 31
    // only.
    virtual Status load_device(StateReader& reader, std::uint32_t low_features) = 0;
    // All subsections are in: the last check, against the negotiated features. Still scratch.
    virtual Status check_loaded(std::uint64_t features) = 0;
    // Makes the scratch live ("post-load": set-up that depends on features happens here).
    virtual Status commit_load(std::uint64_t features) = 0;
    virtual void discard_load() = 0;

    // This process now owns the guest: called once after a migrated device has been started (net announces
    // itself).
    virtual void arrived() {}
};

} // namespace godwit::virtio
