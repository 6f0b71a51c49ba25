// SPDX-License-Identifier: Apache-2.0
//
// Split virtqueue, device side. Virtio 1.2 section 2.7. Indirect descriptors (2.7.5.3) and EVENT_IDX
// (2.7.7, 2.7.10). A descriptor chain is copied and range-checked once, when it is popped; the driver can no
// longer change it then. Threads: loop only.
#pragma once

#include "devices/virtio/spec.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <span>
#include <vector>

namespace godwit::virtio {

// Guest addresses of the three parts of a split virtqueue (virtio 1.2 section 2.7).
struct QueueAddresses {
    Gpa desc;   // Descriptor Table, 16-byte aligned
    Gpa driver; // Available Ring, 2-byte aligned
    Gpa device; // Used Ring, 4-byte aligned
    bool operator==(const QueueAddresses&) const = default;
};

// A buffer that the driver offered: device-readable parts first, then device-writable ones. Reused from one
// pop() to the next, so that its vectors keep their memory.
struct Chain {
    std::uint16_t head = 0; // id to hand back
    std::vector<GuestReadSlice> readable;
    std::vector<GuestWriteSlice> writable;
    std::uint64_t readable_bytes = 0; // readable_bytes + writable_bytes < 2^32
    std::uint64_t writable_bytes = 0;

    void clear();
};

class SplitQueue {
  public:
    struct Config {
        std::uint16_t size = 0; // power of two, 1 to 32768
        QueueAddresses addresses;
        bool event_idx = false;
        bool indirect = false;
        DeviceEndian endian = DeviceEndian::Little;
    };

    // Checks that the three areas are aligned and lie in guest RAM, and that not more than `size` chains
    // would be in flight. The used index is read from the ring.
    static Result<SplitQueue> create(GuestMemory& memory, const Config& config,
                                     std::uint16_t last_avail_index);

    // The check of the areas alone, for a queue that is being set up.
    static Status check_areas(const GuestMemory& memory, std::uint16_t size, const QueueAddresses& at);

    std::uint16_t size() const { return config_.size; }
    // The index that migrates; the used index is in guest RAM.
    std::uint16_t last_avail_index() const { return last_avail_; }
    // Chains popped and not pushed yet.
    std::uint16_t in_flight() const { return static_cast<std::uint16_t>(last_avail_ - used_index_); }
    // Chains that wait in the available ring; an index that is more than `size` ahead is an error.
    Result<std::uint16_t> available();
    // Whether the indices in guest RAM are still possible ones, so that the queue could be loaded elsewhere.
    Status check_indices();

    // Fills `chain` with the next one; false when the ring is empty. An error (loop in a chain, a range
    // outside RAM, an index too far ahead, a descriptor of no bytes, a head that is still in flight...) means
    // that the device is broken.
    Result<bool> pop(Chain& chain);
    // Puts back the chains popped last, the latest first, as if they had not been: for receive queues with
    // too few buffers.
    void unpop(const Chain& chain);

    // Fills `chain` with one that was popped from this ring before, perhaps by another object or on another
    // host, and not pushed since; what pop() checks is checked again.
    Status pop_again(std::uint16_t head, Chain& chain);
    // Where the driver has the parts of a chain, the readable ones first.
    struct Part {
        Gpa at;
        std::uint32_t length;
        bool operator==(const Part&) const = default;
    };
    std::vector<Part> parts_of(const Chain& chain) const;

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
    // A place from which descriptors are read: the ring's table, or an indirect one.
    struct Table {
        Gpa base;
        std::uint32_t entries;
    };

    SplitQueue(GuestMemory& memory, const Config& config, std::uint16_t last_avail_index);

    Gpa avail_idx() const { return Gpa{config_.addresses.driver.value + 2}; }
    Gpa used_event() const {
        return Gpa{config_.addresses.driver.value + 4 + 2 * std::uint64_t{config_.size}};
    }
    Gpa used_idx() const { return Gpa{config_.addresses.device.value + 2}; }
    Gpa avail_event() const {
        return Gpa{config_.addresses.device.value + 4 + 8 * std::uint64_t{config_.size}};
    }

    // A ring's index or flags word in our byte order.
    Result<std::uint16_t> load_word(Gpa at) const;
    Status store_word(Gpa at, std::uint16_t value);

    Status read_chain(Chain& chain) const;
    Status read_table(const Table& table, std::uint16_t first, Chain& chain, Table* indirect) const;
    Status add_descriptor(const virtq_desc& desc, Chain& chain) const;

    bool is_in_flight(std::uint16_t head) const { return (heads_[head / 64] >> (head % 64) & 1) != 0; }
    void flip_in_flight(std::uint16_t head) { heads_[head / 64] ^= std::uint64_t{1} << (head % 64); }

    GuestMemory* memory_;
    Config config_;
    std::uint16_t last_avail_;
    std::uint16_t shadow_avail_; // the driver's index as read last
    std::uint16_t used_index_ = 0;
    std::uint16_t signalled_used_ = 0;
    bool signalled_used_valid_ = false; // not migrated: the first completion after a load always interrupts
    std::vector<std::uint64_t> heads_;  // one bit for each head that is in flight
};

} // namespace godwit::virtio
