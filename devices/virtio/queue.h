// SPDX-License-Identifier: Apache-2.0
//
// Split virtqueue, device side. Virtio 1.2 section 2.7. Indirect descriptors (2.7.5.3) and EVENT_IDX
// (2.7.7, 2.7.10). A descriptor chain is copied and range-checked once, when it is popped; the driver can no
// longer change it then. Threads: loop only.
#pragma once

#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace godwit::virtio {

// Guest addresses of the three parts of a split virtqueue (virtio 1.2 section 2.7).
struct QueueAddresses {
    Gpa desc;   // Descriptor Table, 16-byte aligned
    Gpa driver; // Available Ring, 2-byte aligned
    Gpa device; // Used Ring, 4-byte aligned
    bool operator==(const QueueAddresses&) const = default;
};

// A buffer that the driver offered: device-readable parts first, then device-writable ones.
struct Chain {
    std::uint16_t head = 0; // id to hand back
    std::vector<GuestReadSlice> readable;
    std::vector<GuestWriteSlice> writable;
    std::uint64_t readable_bytes = 0;
    std::uint64_t writable_bytes = 0;
};

class SplitQueue {
  public:
    struct Config {
        std::uint16_t size = 0; // power of two, 1 to 32768
        QueueAddresses addresses;
        bool event_idx = false;
        bool indirect = false;
    };

    // Checks that the three areas are aligned and lie in guest RAM.
    static Result<SplitQueue> create(GuestMemory& memory, const Config& config,
                                     std::uint16_t last_avail_index);

    std::uint16_t size() const { return config_.size; }
    // The index that migrates; the used index is in guest RAM.
    std::uint16_t last_avail_index() const { return last_avail_; }
    std::uint16_t in_flight() const;

    // The next chain; nothing when the ring is empty. An error (loop in a chain, a range outside RAM, an
    // index too far ahead, a zero-length chain...) means that the device is broken.
    Result<std::optional<Chain>> pop();
    // Puts back the chain popped last, as if it had not been: for receive queues with too few buffers.
    void unpop();

    // Fills `elements` of the used ring and publishes them together; `written` counts bytes written to the
    // writable parts. push() is publish() of one.
    struct Used {
        std::uint16_t head;
        std::uint32_t written;
    };
    Status push(Used used) { return push(std::span{&used, 1}); }
    Status push(std::span<const Used> elements);

    // Whether the driver wants an interrupt for what was pushed since the last call (sections 2.7.7.2
    // and 2.7.10).
    Result<bool> interrupt_wanted();

    // Asks the driver for a doorbell at the next buffer, or not to bother. enable() returns true when buffers
    // came in meanwhile, so that the caller looks again: no lost kick.
    Result<bool> enable_notification();
    Status disable_notification();

  private:
    SplitQueue(GuestMemory& memory, const Config& config, std::uint16_t last_avail_index);

    GuestMemory* memory_;
    Config config_;
    std::uint16_t last_avail_;
    std::uint16_t used_index_ = 0;
    std::uint16_t signalled_used_ = 0;
    bool signalled_used_valid_ = false; // not migrated: the first completion after a load always interrupts
};

} // namespace godwit::virtio
