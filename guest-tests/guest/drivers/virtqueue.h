// SPDX-License-Identifier: Apache-2.0
#pragma once
// A split virtqueue, driver side.  Reference: virtio 1.2, section 2.7.
//   queue.add(segments, token);  queue.kick();           give buffers, then tell the device once
//   do { while (queue.pop(used)) ...; } while (queue.arm_interrupt());
// One owner: the first CPU.
#include "base/byte_order.h"
#include "base/types.h"
#include "drivers/virtio_spec.h"

#include <span>

namespace guest::virtio {

struct Segment {
    const void* address;
    u32 length;
    bool device_writes;
};

// Tells a device that a queue has buffers for it.
class Doorbell {
  public:
    virtual void ring(u16 queue) = 0;

  protected:
    constexpr Doorbell() = default;
    ~Doorbell() = default;
};

class Virtqueue {
  public:
    struct Used {
        u16 token;
        u32 length;
    };
    static constexpr u32 max_size = 256, max_segments = 4;

    constexpr Virtqueue() = default;

    struct Setup {
        u32 size; // at most
        u64 features;
        bool want_interrupts;
        bool wait_to_be_told; // an armed queue is looked at only after tell(): lost interrupts stay lost
        bool legacy_layout;   // 2.7.2: one piece, the used ring on a page of its own
        ByteOrder order;
    };

    // Memory is taken at the first call and used again after a device reset.
    bool prepare(const Setup& setup);
    void connect(Doorbell& doorbell, u16 index);
    void tell() { told_ = true; } // the device has used buffers, says the transport

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
    bool allocate();
    void lay_out(bool legacy);
    u16 take_descriptor();
    void fill(Descriptor& to, const Segment& from) const;
    void chain(Descriptor& from, u16 to) const;
    bool empty() const { return order_(static_cast<u16>(used_[1])) == next_used_; }

    Descriptor* table_ = nullptr;
    Descriptor* indirect_ = nullptr; // max_segments for each descriptor
    volatile u16* available_ = nullptr;
    volatile u16* used_ = nullptr;
    u8* memory_ = nullptr; // of these three
    u16* tokens_ = nullptr;
    u32 allocated_ = 0, size_ = 0;
    bool use_event_idx_ = false, use_indirect_ = false, want_interrupts_ = false, broken_ = false;
    bool wait_to_be_told_ = false, told_ = true;
    ByteOrder order_;
    u16 free_head_ = 0, free_count_ = 0, next_available_ = 0, kicked_ = 0, next_used_ = 0;
    u32 in_flight_ = 0;
    Doorbell* doorbell_ = nullptr;
    u16 index_ = 0;
};

} // namespace guest::virtio
