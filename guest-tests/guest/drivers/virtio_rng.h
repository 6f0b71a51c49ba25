// SPDX-License-Identifier: Apache-2.0
#pragma once
// A virtio entropy device.  Reference: virtio 1.2, section 5.4.
// The caller numbers its buffers by slot; a slot is busy from ask() until poll() hands it back.
#include "base/types.h"
#include "drivers/virtio_device.h"

#include <array>

namespace guest::virtio {

class VirtioRng {
  public:
    constexpr VirtioRng() = default;
    bool attach(interrupts::Mode mode) { return bus_.attach(rng::id, mode); }
    bool begin() { // may be repeated when nothing is in flight
        if (!bus_.begin(0) || !bus_.set_up_queue(0, queue_))
            return false;
        bus_.run();
        return true;
    }

    u32 where() const { return bus_.where(); } // slot or subchannel
    u32 queue_size() const { return queue_.size(); }
    bool polled() const { return bus_.polled(); }
    bool broken() const { return queue_.broken(); }

    bool ask(u16 slot, u8* data, u32 length) {
        std::array<Segment, 1> segments{{{data, length, true}}};
        return queue_.add(segments, slot);
    }
    void kick() { queue_.kick(); }

    // Calls done(slot, length) for each buffer that was filled.
    template <class Done>
    void poll(Done&& done) {
        Virtqueue::Used used;
        do {
            while (queue_.pop(used))
                done(used.token, used.length);
        } while (queue_.arm_interrupt());
    }

  private:
    VirtioDevice bus_;
    Virtqueue queue_;
};

} // namespace guest::virtio
