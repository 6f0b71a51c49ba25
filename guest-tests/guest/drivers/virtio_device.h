// SPDX-License-Identifier: Apache-2.0
#pragma once
// A virtio device on whichever transport it sits.  Reference: virtio 1.2, section 3.1.1.
// attach (once), begin (reset and features), set_up_queue for each, run.  begin() may be called again.
#include "base/types.h"
#include "drivers/virtio_ccw.h"
#include "drivers/virtio_pci.h"

namespace guest::virtio {

class VirtioDevice {
  public:
    constexpr VirtioDevice() = default;

    // The first device with this virtio id, first on PCI, then among the subchannels.
    bool attach(u16 virtio_id, interrupts::Mode mode);

    bool begin(u64 wanted_features); // wanted ones that are not offered are left out
    u64 features() const { return features_; }
    bool has(u64 feature) const { return (features_ & feature) != 0; }
    bool set_up_queue(u16 index, Virtqueue& queue);
    void run();

    template <class T>
    T config(u32 offset) const; // in our byte order, not torn

    bool config_changed(); // since the last call; when polled: maybe, now and then
    bool needs_reset() const { return (transport_->read_status() & status::DEVICE_NEEDS_RESET) != 0; }
    bool polled() const { return transport_->polled(); }
    bool legacy() const { return transport_->legacy(); }
    ByteOrder byte_order() const { return transport_->byte_order(); }
    u32 where() const { return transport_->where(); }

  private:
    VirtioPci pci_;
    VirtioCcw ccw_;
    VirtioTransport* transport_ = nullptr; // one of these two
    u8 status_ = 0;
    u64 features_ = 0;
    u64 next_poll_ = 0;
};

template <class T>
T VirtioDevice::config(u32 offset) const {
    for (;;) {
        T value{};
        u8 before = transport_->config_generation();
        transport_->read_config(offset, &value, sizeof value);
        if (transport_->config_generation() == before)
            return byte_order()(value);
    }
}

} // namespace guest::virtio
