// SPDX-License-Identifier: Apache-2.0
#pragma once
// A virtio block device with one request queue.  Reference: virtio 1.2, section 5.2.
// The caller numbers its requests by slot; a slot is busy from submit() until poll() hands it back.
#include "base/types.h"
#include "drivers/virtio_device.h"

namespace guest::virtio {

struct BlkRequest {
    u32 type;
    u64 sector = 0;
    void* data = nullptr;
    u32 length = 0;
    bool device_writes = false;
};

class VirtioBlk {
  public:
    static constexpr u32 max_requests = 64, sector_size = 512;

    constexpr VirtioBlk() = default;
    bool attach(interrupts::Mode mode) { return bus_.attach(blk::id, mode); }
    bool begin(); // may be repeated when nothing is in flight

    u64 capacity() const { return capacity_; } // sectors
    bool has(u64 feature) const { return bus_.has(feature); }
    u64 features() const { return bus_.features(); }
    u32 where() const { return bus_.where(); } // slot or subchannel
    bool polled() const { return bus_.polled(); }

    blk::Range range(u64 sector, u32 sectors) const; // of discard and write zeroes, as the device reads it
    bool submit(u16 slot, const BlkRequest& request);
    void kick() { queue_.kick(); }
    bool broken() const { return queue_.broken(); }
    bool config_changed() { return bus_.config_changed(); }
    bool needs_reset() const { return bus_.needs_reset(); }
    void read_capacity() { capacity_ = bus_.config<u64>(blk::config_capacity); }

    // Calls done(slot, status) for each finished request.
    template <class Done>
    void poll(Done&& done) {
        Virtqueue::Used used;
        do {
            while (queue_.pop(used))
                done(used.token, frames_[used.token].status);
        } while (queue_.arm_interrupt());
    }

  private:
    struct Frame { // what surrounds the data of a request
        blk::Header header;
        volatile u8 status;
    };

    VirtioDevice bus_;
    Virtqueue queue_;
    Frame* frames_ = nullptr;
    u64 capacity_ = 0;
};

} // namespace guest::virtio
