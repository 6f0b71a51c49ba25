// SPDX-License-Identifier: Apache-2.0
//
// The virtio core: feature negotiation, device status, queue set-up, configuration access and the common
// state, once for every device and every transport. Virtio 1.2 sections 2 and 3. A transport decodes what the
// driver does into these calls and owns nothing of it. Threads: loop only, except where said.
#pragma once

#include "devices/virtio/core_subsection.h"
#include "devices/virtio/device.h"
#include "devices/virtio/queue.h"
#include "devices/virtio/spec.h"
#include "devices/virtio/transport.h"
#include "migration/state/section.h"
#include "vmm/base/log.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace godwit::virtio {

// What the driver wrote for one queue before it enabled it.
struct QueueSetup {
    std::uint16_t size = 0; // starts at the device's maximum
    bool enabled = false;
    QueueAddresses addresses;
};

class Core final : public StateSection, private DeviceHost {
  public:
    // Device and memory outlive the core.
    Core(Device& device, GuestMemory& memory);
    ~Core() override;
    // Before the guest runs. The transport outlives the core's use of it.
    void attach(Transport& transport) { transport_ = &transport; }

    const Device& device() const { return device_; }
    const DeviceTraits& traits() const { return device_.traits(); }

    // ---- what the driver does, through a transport

    std::uint64_t offered_features() const;
    std::uint64_t driver_features() const { return driver_features_; }
    // Ignored once FEATURES_OK or DRIVER_OK is set (section 3.1.1). Bits that are not offered are kept, so
    // that FEATURES_OK can fail for them; they do not migrate with the common state, only in a transport's
    // registers.
    void set_driver_features(std::uint64_t features);

    std::uint8_t status() const { return status_; }
    // Zero resets. Setting FEATURES_OK checks the features, DRIVER_OK starts the device; a bit that was
    // refused reads as zero afterwards. Bits are cleared by a reset only. A reset that could not drain the
    // device leaves DEVICE_NEEDS_RESET set, so that the driver sees that its buffers are still in use.
    void set_status(std::uint8_t status);

    std::uint16_t queue_count() const { return static_cast<std::uint16_t>(queues_.size()); }
    // Nothing for an index that the device does not have.
    const QueueSetup* queue(std::uint16_t index) const;
    std::uint16_t max_queue_size(std::uint16_t index) const;
    // The three are ignored for an unknown or enabled queue; a size that is not a power of two up to the
    // maximum is ignored as well. A descriptor table at address 0 counts as not set up, as in the state
    // stream: such a queue cannot be enabled.
    void set_queue_size(std::uint16_t index, std::uint16_t size);
    void set_queue_addresses(std::uint16_t index, const QueueAddresses& addresses);
    void enable_queue(std::uint16_t index);
    // VIRTIO_F_RING_RESET (section 2.6.1).
    void reset_queue(std::uint16_t index);
    // The same for a transport whose driver can take a queue back without that feature.
    void give_up_queue(std::uint16_t index);

    // Out of range reads as zeros, writes nothing.
    void read_config(std::uint32_t offset, std::span<std::byte> out);
    void write_config(std::uint32_t offset, std::span<const std::byte> data);
    std::uint8_t config_generation() const { return config_generation_; }

    // The driver's doorbell.
    void queue_notified(std::uint16_t index);

    // Interrupt status (section 4.1.4.5): bit 0 queue, bit 1 configuration.
    std::uint8_t isr() const { return isr_; }
    std::uint8_t take_isr();

    // Selected queue, for transports with a queue_select register; migrates with the common state.
    std::uint16_t queue_select() const { return queue_select_; }
    void set_queue_select(std::uint16_t index) { queue_select_ = index; }

    // PCI bus mastering was turned off or on: a device without it must not touch memory.
    void set_disabled(bool disabled);
    bool disabled() const { return disabled_; }

    // Byte order of a legacy driver; virtio 1 is little-endian (section 2.4.3 of the legacy interface). Goes
    // back to little at a reset. Set before any queue is enabled.
    DeviceEndian device_endian() const { return endian_; }
    void set_device_endian(DeviceEndian endian) { endian_ = endian; }

    // ---- lifecycle, by the machine

    // Drains and stops the device. Idempotent. After an error the device is stopped as far as possible.
    Status pause();
    // Starts it again when the driver had it running.
    Status resume();
    // As when the machine is reset: the driver's reset, and what only the machine can put back.
    void machine_reset();
    // After a migration, once this process owns the guest and the device runs.
    void arrived() { device_.arrived(); }

    bool running() const { return running_; }
    bool broken() const { return broken_; }

    // Subsections beyond those of this release, in the order of writing; before the first save or load.
    void add_subsection(CoreSubsection added) { added_.push_back(std::move(added)); }

    // ---- state: design section 4. The scratch of a load becomes live in the order core, transport, device:
    // in its commit_load() a transport sees the loaded queues, and may set addresses of queues that are not
    // enabled.

    SectionId id() const override;
    Status save(StateWriter& writer) override;
    Status load(StateReader& reader, std::uint32_t version) override;
    Status commit_load() override;
    void discard_load() override;

  private:
    struct Loaded;

    void queue_used(std::uint16_t queue) override;
    void config_changed() override;
    void device_broken(const Error& what) override;
    void drained() override;

    std::string_view name() const { return traits().id; }
    bool may_start() const;
    Status make_live_queues();
    Status start_device();
    Status stop_device();
    void check_rings();
    void restart_device();
    bool reset_device();
    void forget_queue(std::uint16_t index);
    bool features_accepted(std::uint8_t status);
    // The parts of load().
    Status load_common(StateReader& reader, Loaded& loaded);
    Status load_queues(StateReader& reader, Loaded& loaded);
    Status load_subsections(StateReader& reader, Loaded& loaded);
    Status load_subsection(StateReader& reader, std::string_view name, Loaded& loaded);
    Status require_subsections(const Loaded& loaded) const;
    Status sanitise(Loaded& loaded) const;
    Status sanitise_queue(std::uint16_t index, const Loaded& loaded) const;
    void save_subsections(StateWriter& writer) const;
    Status save_added(StateWriter& writer) const;
    const CoreSubsection* added_subsection(std::string_view name) const;
    Status load_device_config(StateReader& reader, const Loaded& loaded);
    Result<SplitQueue> make_queue(const QueueSetup& setup, std::uint64_t features, DeviceEndian endian,
                                  std::uint16_t last_avail) const;

    Device& device_;
    GuestMemory& memory_;
    Transport* transport_ = nullptr;

    std::uint64_t driver_features_ = 0;
    std::uint8_t status_ = 0;
    std::uint8_t isr_ = 0;
    std::uint8_t config_generation_ = 0;
    std::uint16_t queue_select_ = 0;
    DeviceEndian endian_ = DeviceEndian::Little;
    bool broken_ = false;
    bool disabled_ = false;
    bool paused_ = false;
    bool reset_pending_ = false; // the driver asked for a reset, and the device did not drain in time
    bool started_ = false;       // the device must be stopped before anything else may touch its queues
    bool running_ = false;       // started, and neither broken nor being stopped

    std::vector<QueueSetup> queues_;
    std::vector<std::uint16_t> last_avail_;              // while stopped
    std::vector<std::optional<SplitQueue>> live_queues_; // while started
    std::vector<SplitQueue*> activation_;                // the device's view of live_queues_

    std::vector<CoreSubsection> added_;
    std::unique_ptr<Loaded> loaded_;
    log::RateLimit guest_errors_;
};

} // namespace godwit::virtio
