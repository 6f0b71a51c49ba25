// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a virtio device needs of the bus that it sits on.  Reference: virtio 1.2, section 2; the buses are in
// virtio_pci.h (4.1) and virtio_ccw.h (4.3), the one user is virtio_device.h.
#include "base/byte_order.h"
#include "base/types.h"
#include "drivers/virtqueue.h"

namespace guest::virtio {

class VirtioTransport : public Doorbell {
  public:
    virtual bool reset() = 0; // false: the device does not come back
    virtual u8 read_status() = 0;
    virtual bool write_status(u8 status) = 0;
    virtual u32 read_features(u32 index) = 0;
    virtual bool write_features(u32 index, u32 features) = 0;

    virtual u32 queue_limit(u16 index) = 0;                // 0: no such queue
    virtual bool connect(u16 index, Virtqueue& queue) = 0; // a queue that is prepared
    virtual bool set_up_interrupts() = 0;                  // when features are agreed on, before the queues

    virtual void read_config(u32 offset, void* to, u32 size) = 0;
    virtual u8 config_generation() = 0;    // 2.5.1: the same before and after, or what was read is torn
    virtual bool config_interrupted() = 0; // since the last call; nothing is known of it when polled()

    virtual u32 where() const = 0; // slot or subchannel

    bool polled() const { return polled_; }          // nobody waits for interrupts
    bool legacy() const { return legacy_; }          // before virtio 1
    bool reports_queues() const { return reports_; } // by Virtqueue::tell(), for each interrupt
    ByteOrder byte_order() const { return order_; }

  protected:
    constexpr VirtioTransport() = default;
    ~VirtioTransport() = default;

    bool polled_ = false, legacy_ = false, reports_ = false;
    ByteOrder order_;
};

} // namespace guest::virtio
