// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtio_device.h"

#include "base/options.h"
#include "machine/clock.h"

namespace guest::virtio {
namespace {

constexpr u64 poll_period = 100 * millisecond;

} // namespace

bool VirtioDevice::attach(u16 virtio_id, interrupts::Mode mode) {
    if (pci_.attach(virtio_id, mode))
        transport_ = &pci_;
    else if (ccw_.attach(virtio_id, mode))
        transport_ = &ccw_;
    return transport_ != nullptr;
}

// 3.1.1 up to step 6; a legacy device (3.1.2) knows nothing of the last two.
bool VirtioDevice::begin(u64 wanted_features) {
    status_ = status::ACKNOWLEDGE;
    if (!transport_->reset() || !transport_->write_status(status_))
        return false;
    status_ |= status::DRIVER;
    if (!transport_->write_status(status_))
        return false;
    u64 offered = 0;
    for (u32 index = 0; index < 2; ++index)
        offered |= u64{transport_->read_features(index)} << (32 * index);
    features_ = offered & (wanted_features | VIRTIO_F_VERSION_1 | VIRTIO_F_ANY_LAYOUT |
                           (options.flag("event_idx", true) ? VIRTIO_F_EVENT_IDX : 0) |
                           (options.flag("indirect", true) ? VIRTIO_F_INDIRECT_DESC : 0));
    if (has(VIRTIO_F_VERSION_1) == legacy())
        return false;
    for (u32 index = 0; index < 2; ++index)
        if (!transport_->write_features(index, static_cast<u32>(features_ >> (32 * index))))
            return false;
    if (!legacy()) {
        status_ |= status::FEATURES_OK;
        if (!transport_->write_status(status_) || (transport_->read_status() & status::FEATURES_OK) == 0)
            return false;
    }
    return transport_->set_up_interrupts();
}

bool VirtioDevice::set_up_queue(u16 index, Virtqueue& queue) {
    Virtqueue::Setup setup{.size = transport_->queue_limit(index),
                           .features = features_,
                           .want_interrupts = !polled(),
                           .wait_to_be_told = transport_->reports_queues(),
                           .legacy_layout = legacy(),
                           .order = byte_order()};
    if (!queue.prepare(setup) || !transport_->connect(index, queue))
        return false;
    queue.connect(*transport_, index);
    return true;
}

void VirtioDevice::run() {
    status_ |= status::DRIVER_OK;
    transport_->write_status(status_);
}

bool VirtioDevice::config_changed() {
    if (!polled())
        return transport_->config_interrupted();
    u64 now = clock.now();
    bool due = now >= next_poll_;
    if (due)
        next_poll_ = now + poll_period;
    return due;
}

} // namespace guest::virtio
