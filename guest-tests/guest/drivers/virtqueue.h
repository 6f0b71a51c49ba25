// SPDX-License-Identifier: Apache-2.0
#pragma once
// A split virtqueue, driver side.  Reference: virtio 1.2, section 2.7.
//   queue.add(segments, token);  queue.kick();           give buffers, then tell the device once
//   do { while (queue.pop(used)) ...; } while (queue.arm_interrupt());
// One owner: the first CPU.
#include "base/types.h"
#include "drivers/virtio_spec.h"

#include <span>

namespace guest::virtio {

struct Segment {
    const void* address;
    u32 length;
    bool device_writes;
};

class Virtqueue {
  public:
    struct Used {
        u16 token;
        u32 length;
    };
    static constexpr u32 max_size = 256, max_segments = 4;

    constexpr Virtqueue() = default;

    // Memory is taken at the first call and used again after a device reset.
    bool prepare(u32 size, u64 features, bool want_interrupts);
    void connect(u64 notify_address, u16 index);

    u32 size() const { return size_; }
    u64 descriptors() const { return reinterpret_cast<u64>(table_); }
    u64 driver_area() const { return reinterpret_cast<u64>(available_); }
    u64 device_area() const { return reinterpret_cast<u64>(used_); }

    bool add(std::span<const Segment> segments, u16 token); // false: no room
    void kick();
    bool pop(Used& used);
    bool arm_interrupt();                   // true: more has arrived meanwhile
    bool broken() const { return broken_; } // the device returned what it was not given
    u32 in_flight() const { return in_flight_; }

  private:
    volatile u16& available_word(u32 n) const { return available_[n]; }
    volatile u16& used_event() const { return available_[2 + size_]; }
    volatile u16& available_event() const { return used_[2 + 4 * size_]; }
    volatile UsedElement& used_element(u16 n) const {
        return reinterpret_cast<volatile UsedElement*>(used_ + 2)[n % size_];
    }
    u16 take_descriptor();
    void fill(Descriptor& to, const Segment& from) const;

    Descriptor* table_ = nullptr;
    Descriptor* indirect_ = nullptr; // max_segments for each descriptor
    volatile u16* available_ = nullptr;
    volatile u16* used_ = nullptr;
    u16* tokens_ = nullptr;
    u32 allocated_ = 0, size_ = 0;
    bool use_event_idx_ = false, use_indirect_ = false, want_interrupts_ = false, broken_ = false;
    u16 free_head_ = 0, free_count_ = 0, next_available_ = 0, kicked_ = 0, next_used_ = 0;
    u32 in_flight_ = 0;
    u64 notify_address_ = 0;
    u16 index_ = 0;
};

} // namespace guest::virtio
