// SPDX-License-Identifier: Apache-2.0
//
// The transmit queue: frames are written straight from the driver's buffers. Virtio 1.2 section 5.1.6.2.
// Only the header is copied, checked, and sent from our copy. Nothing is in flight between two turns. Loop
// thread only.
#pragma once

#include "devices/virtio/device.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_state.h"
#include "vmm/base/log.h"

#include <string>
#include <vector>

namespace godwit::virtio {

class NetTransmitter {
  public:
    // `id` is for messages.
    NetTransmitter(FrameBackend& backend, std::string id);

    // The queue stays valid until stop().
    void start(SplitQueue& queue, std::uint64_t features, DeviceEndian endian = DeviceEndian::Little);
    bool started() const { return queue_ != nullptr; }
    void stop() { queue_ = nullptr; }

    // Sends until the ring is empty (then the driver was asked for a doorbell), the backend takes no more, or
    // the turn is over. A frame that the backend or the checks refuse is dropped, as on a wire. An error: the
    // device is broken.
    Result<Turn> turn(const NetState& state, DeviceHost& host);

  private:
    Result<Turn> send_frames(const NetState& state);
    // False when the backend takes no more.
    Result<bool> send(const NetState& state);
    void lend(virtio_net_hdr& header);

    FrameBackend& backend_;
    const std::string id_;
    SplitQueue* queue_ = nullptr;
    std::uint64_t features_ = 0;
    std::uint32_t header_size_ = kNetHeaderFull;
    DeviceEndian endian_ = DeviceEndian::Little;
    bool doorbell_wanted_ = true; // what the driver was told

    Chain chain_;
    std::vector<iovec> iovecs_;
    std::vector<SplitQueue::Used> used_;
    log::RateLimit errors_;
};

} // namespace godwit::virtio
