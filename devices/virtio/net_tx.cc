// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_tx.h"

#include "devices/virtio/net_header.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace godwit::virtio {

NetTransmitter::NetTransmitter(FrameBackend& backend, std::string id)
    : backend_(backend), id_(std::move(id)) {}

void NetTransmitter::start(SplitQueue& queue, std::uint64_t features, DeviceEndian endian) {
    queue_ = &queue;
    endian_ = endian;
    features_ = features;
    header_size_ = net_header_size(features);
    doorbell_wanted_ = true;
    used_.clear(); // of a run that broke
}

Result<Turn> NetTransmitter::turn(const NetState& state, DeviceHost& host) {
    auto result = send_frames(state);
    if (!used_.empty()) {
        TRY(queue_->push(used_));
        used_.clear();
        host.queue_used(kNetTransmitQueue);
    }
    return result;
}

Result<Turn> NetTransmitter::send_frames(const NetState& state) {
    for (unsigned i = 0; i < kFramesPerTurn; ++i) {
        if (!TRY(queue_->pop(chain_))) {
            doorbell_wanted_ = true;
            if (!TRY(queue_->enable_notification()))
                return Turn::Idle;
            continue;
        }
        if (std::exchange(doorbell_wanted_, false))
            TRY(queue_->disable_notification());
        if (!TRY(send(state))) {
            queue_->unpop(chain_);
            return Turn::Blocked;
        }
        used_.push_back({chain_.head, 0});
    }
    return Turn::Again;
}

Result<bool> NetTransmitter::send(const NetState& state) {
    if (chain_.readable_bytes < header_size_)
        return error(ErrorCode::Guest, "transmit buffer of {} bytes, shorter than its header",
                     chain_.readable_bytes);
    if ((state.status & VIRTIO_NET_S_LINK_UP) == 0)
        return true;

    virtio_net_hdr header{};
    lend(header);
    if (auto checked = check_transmit_header(header, chain_.readable_bytes - header_size_, features_);
        !checked.ok()) {
        errors_.warning("{}: frame dropped: {}", id_, checked.error().text);
        return true;
    }
    if (iovecs_.size() > IOV_MAX) {
        errors_.warning("{}: frame dropped: it is in {} pieces", id_, iovecs_.size());
        return true;
    }
    const auto count = backend_.write(iovecs_);
    if (count == -EAGAIN)
        return false;
    if (count < 0)
        errors_.warning("{}: frame dropped: {}: {}", id_, backend_.name(),
                        std::strerror(static_cast<int>(-count)));
    return true;
}

// Copies the header out, once, and lists it and the driver's memory behind it for writev().
void NetTransmitter::lend(virtio_net_hdr& header) {
    auto rest = std::as_writable_bytes(std::span{&header, 1}).first(header_size_);
    iovecs_.clear();
    iovecs_.push_back({&header, header_size_});
    for (const GuestReadSlice& slice : chain_.readable) {
        const std::size_t part = std::min(rest.size(), slice.size());
        slice.copy_out(0, rest.first(part));
        rest = rest.subspan(part);
        if (part < slice.size())
            iovecs_.push_back({const_cast<std::byte*>(slice.for_kernel()) + part, slice.size() - part});
    }
    header = in_order(header, endian_);
}

} // namespace godwit::virtio
