// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtio_blk.h"

#include "machine/ram.h"

#include <array>

namespace guest::virtio {

bool VirtioBlk::begin() {
    if (frames_ == nullptr)
        frames_ = static_cast<Frame*>(ram.allocate(sizeof(Frame) * max_requests, 64));
    u64 wanted = blk::VIRTIO_BLK_F_RO | blk::VIRTIO_BLK_F_FLUSH | blk::VIRTIO_BLK_F_DISCARD |
                 blk::VIRTIO_BLK_F_WRITE_ZEROES;
    if (frames_ == nullptr || !bus_.begin(wanted) || !bus_.set_up_queue(0, queue_))
        return false;
    bus_.run();
    read_capacity();
    return true;
}

blk::Range VirtioBlk::range(u64 sector, u32 sectors) const {
    ByteOrder order = bus_.byte_order();
    return {order(sector), order(sectors), 0};
}

bool VirtioBlk::submit(u16 slot, const BlkRequest& request) {
    constexpr u8 never_written = 0xee;
    Frame& frame = frames_[slot];
    ByteOrder order = bus_.byte_order();
    frame.header = {order(request.type), 0, order(request.sector)};
    frame.status = never_written;
    std::array<Segment, 3> segments{{
        {&frame.header, sizeof frame.header, false},
        {request.data, request.length, request.device_writes},
        {const_cast<u8*>(&frame.status), 1, true},
    }};
    if (request.length != 0)
        return queue_.add(segments, slot);
    segments[1] = segments[2];
    return queue_.add(std::span(segments).first(2), slot);
}

} // namespace guest::virtio
