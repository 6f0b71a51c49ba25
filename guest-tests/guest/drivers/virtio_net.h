// SPDX-License-Identifier: Apache-2.0
#pragma once
// A virtio network device with one queue pair and, if offered, the control queue.  Reference: virtio 1.2,
// section 5.1.
#include "base/types.h"
#include "drivers/virtio_device.h"

namespace guest::virtio {

struct Frame {
    static constexpr u32 capacity = 4096;
    u8 data[capacity];
    u32 length;
    bool checksum_known_good; // or left to us by a sender on the same host
};

class VirtioNet {
  public:
    constexpr VirtioNet() = default;
    bool attach(interrupts::Mode mode) { return bus_.attach(net::id, mode); }

    // buffer_size: of a receive buffer, when buffers are mergeable.  May be repeated: what was queued is
    // dropped.
    bool begin(bool checksum_offload, u32 buffer_size);

    bool has(u64 feature) const { return bus_.has(feature); }
    u64 features() const { return bus_.features(); }
    u32 where() const { return bus_.where(); } // slot or subchannel
    bool polled() const { return bus_.polled(); }
    const u8* mac() const { return mac_; }

    bool receive(Frame& frame); // false: nothing there
    // checksum_start 0: complete; else the device sums from there on and stores at checksum_start +
    // checksum_offset
    bool send(const u8* frame, u32 length, u32 checksum_start = 0, u32 checksum_offset = 0);
    void kick();
    void reclaim(); // finished transmissions and control commands
    bool arm_interrupt() { return receive_.arm_interrupt(); }

    bool config_changed() { return bus_.config_changed(); }
    bool needs_reset() const { return bus_.needs_reset(); }
    u16 read_status() const { return bus_.config<u16>(net::config_status); }
    bool acknowledge_announce(); // false: a command is still under way
    u32 announces_acknowledged() const { return acknowledged_; }

    bool broken() const { return receive_.broken() || transmit_.broken() || control_.broken(); }
    u32 oversized() const { return oversized_; }
    u32 merged() const { return merged_; } // frames that took more than one buffer

  private:
    static constexpr u32 receive_buffers = 128, transmit_buffers = 64, buffer_capacity = 2048;
    struct Control {
        u8 command_class, command;
        volatile u8 ack;
        bool pending;
    };

    bool allocate();
    bool post(u16 buffer);
    bool header_apart() const { return bus_.legacy() && !has(VIRTIO_F_ANY_LAYOUT); } // 5.1.6.6
    u8* receive_buffer(u32 n) const { return receive_memory_ + n * buffer_capacity; }
    u8* transmit_buffer(u32 n) const { return transmit_memory_ + n * buffer_capacity; }

    VirtioDevice bus_;
    Virtqueue receive_, transmit_, control_;
    u8* receive_memory_ = nullptr;
    u8* transmit_memory_ = nullptr;
    Control* control_command_ = nullptr;
    u32 buffer_size_ = 0, header_size_ = sizeof(net::Header);
    u64 transmit_free_ = 0; // one bit per buffer
    u32 acknowledged_ = 0, oversized_ = 0, merged_ = 0;
    u8 mac_[6] = {};
};

} // namespace guest::virtio
