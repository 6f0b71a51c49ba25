// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_rx.h"

#include "devices/virtio/net_filter.h"
#include "vmm/base/bytes.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace godwit::virtio {

namespace {
constexpr std::size_t kUsualFrame = 1500 + kEthernetHeader + kVlanTag;
constexpr unsigned kDiscardLimit = 4096; // more than a tap queues
} // namespace

NetReceiver::NetReceiver(FrameBackend& backend)
    : backend_(backend), tail_(std::make_unique<std::byte[]>(kTailSize)) {}

void NetReceiver::start(SplitQueue& queue, std::uint64_t features, DeviceEndian endian) {
    queue_ = &queue;
    endian_ = endian;
    header_size_ = net_header_size(features);
    mergeable_ = has_feature(features, VIRTIO_NET_F_MRG_RXBUF);
    doorbell_wanted_ = true;
    used_.clear(); // of a run that broke
}

void NetReceiver::stop() {
    held_ = {};
    for (; !chains_.empty(); chains_.pop_back()) {
        queue_->unpop(chains_.back());
        spare_.push_back(std::move(chains_.back()));
    }
    capacity_ = 0;
    queue_ = nullptr;
}

Result<Turn> NetReceiver::turn(const NetState& state, DeviceHost& host) {
    auto result = read_frames(state);
    if (!used_.empty()) {
        TRY(queue_->push(used_));
        used_.clear();
        host.queue_used(kNetReceiveQueue);
    }
    return result;
}

Result<Turn> NetReceiver::read_frames(const NetState& state) {
    for (unsigned i = 0; i < kFramesPerTurn; ++i) {
        if (held_.bytes == 0) {
            const bool large =
                (state.curr_guest_offloads & ~feature(VIRTIO_NET_F_GUEST_CSUM)) != 0 && mergeable_;
            TRY(gather(header_size_ + (large ? kFrameLimit : kUsualFrame)));
            if (chains_.empty() || !read_frame(state))
                return Turn::Idle;
        }
        if (held_.bytes != 0 && !TRY(place()))
            return Turn::Idle;
    }
    return Turn::Again;
}

// Pops until that many bytes fit, or the ring is empty and the driver will ring when it is no longer.
Status NetReceiver::gather(std::size_t bytes) {
    while (capacity_ < bytes && (mergeable_ || chains_.empty())) {
        if (spare_.empty())
            spare_.emplace_back();
        if (!TRY(queue_->pop(spare_.back()))) {
            doorbell_wanted_ = true;
            if (!TRY(queue_->enable_notification()))
                return {};
            continue;
        }
        chains_.push_back(std::move(spare_.back()));
        spare_.pop_back();
        if (chains_.back().writable.empty())
            return error(ErrorCode::Guest, "receive buffer with nothing to write to");
        capacity_ += chains_.back().writable_bytes;
        if (std::exchange(doorbell_wanted_, false))
            TRY(queue_->disable_notification());
    }
    return {};
}

// The memory for one readv(). `direct` is set to the byte of the frame at which tail_ takes over.
std::span<const iovec> NetReceiver::lend(std::size_t& direct) {
    std::size_t count = 0;
    std::size_t skip = head_size();
    direct = 0;
    iovecs_[count++] = {head_.data(), head_size()};
    for (const Chain& chain : chains_)
        for (const GuestWriteSlice& slice : chain.writable) {
            if (count == kIovecs - 1)
                break;
            const std::size_t passed = std::min(skip, slice.size());
            skip -= passed;
            direct += slice.size();
            if (passed < slice.size())
                iovecs_[count++] = {slice.for_kernel() + passed, slice.size() - passed};
        }
    direct = std::max(direct, head_size());
    iovecs_[count++] = {tail_.get(), kTailSize};
    return std::span{iovecs_}.first(count);
}

bool NetReceiver::read_frame(const NetState& state) {
    std::size_t direct = 0;
    const auto count = backend_.read(lend(direct));
    if (count == 0 || count == -EAGAIN)
        return false;
    if (count < 0) {
        mark_dirty(direct);
        errors_.warning("{}: {}", backend_.name(), std::strerror(static_cast<int>(-count)));
        return false;
    }
    const auto bytes = static_cast<std::size_t>(count);
    const auto ethernet = std::span{head_}.first(std::min(bytes, head_size()));
    const bool wanted = bytes > header_size_ && bytes <= header_size_ + kFrameLimit &&
                        (state.status & VIRTIO_NET_S_LINK_UP) != 0 &&
                        frame_wanted(state, ethernet.subspan(header_size_));
    if (wanted)
        held_ = {bytes, direct};
    else
        mark_dirty(std::min(bytes, direct));
    return true;
}

// Puts the held frame into the driver's buffers for good, or drops it when they can never hold it.
Result<bool> NetReceiver::place() {
    TRY(gather(held_.bytes));
    if (capacity_ < held_.bytes) {
        if (mergeable_ && chains_.size() < queue_->size())
            return false;
        errors_.warning("{}: a frame of {} bytes does not fit into the driver's buffers", backend_.name(),
                        held_.bytes);
        mark_dirty(std::min(held_.bytes, held_.direct));
        held_ = {};
        return true;
    }
    std::size_t buffers = 0;
    for (std::size_t room = 0; room < held_.bytes; ++buffers)
        room += chains_[buffers].writable_bytes;
    if (header_size_ == kNetHeaderFull)
        store_le(std::span{head_}.subspan(offsetof(virtio_net_hdr, num_buffers)),
                 static_cast<std::uint16_t>(buffers));

    virtio_net_hdr header{};
    const auto own = std::span{head_}.first(header_size_);
    std::memcpy(&header, own.data(), own.size());
    header = in_order(header, endian_);
    std::memcpy(own.data(), &header, own.size());

    mark_dirty(std::min(held_.bytes, held_.direct));
    scatter(0, std::span{head_}.first(std::min(held_.bytes, head_size())));
    if (held_.bytes > held_.direct)
        scatter(held_.direct, {tail_.get(), held_.bytes - held_.direct});
    hand_over(held_.bytes);
    held_ = {};
    return true;
}

// Uses as many chains as `bytes` fill.
void NetReceiver::hand_over(std::size_t bytes) {
    while (bytes != 0) {
        Chain chain = std::move(chains_.front());
        chains_.pop_front();
        capacity_ -= chain.writable_bytes;
        const auto written = std::min<std::size_t>(bytes, chain.writable_bytes);
        used_.push_back({chain.head, static_cast<std::uint32_t>(written)});
        bytes -= written;
        spare_.push_back(std::move(chain));
    }
}

// Copies to byte `at` of the chains. Precondition: it fits.
void NetReceiver::scatter(std::size_t at, std::span<const std::byte> bytes) {
    for (const Chain& chain : chains_)
        for (const GuestWriteSlice& slice : chain.writable) {
            if (bytes.empty())
                return;
            if (at >= slice.size()) {
                at -= slice.size();
                continue;
            }
            const std::size_t part = std::min(bytes.size(), slice.size() - at);
            slice.copy_in(at, bytes.first(part));
            bytes = bytes.subspan(part);
            at = 0;
        }
}

// The first `bytes` of the chains were written by the kernel, also when nobody will be told.
void NetReceiver::mark_dirty(std::size_t bytes) {
    for (const Chain& chain : chains_)
        for (const GuestWriteSlice& slice : chain.writable) {
            if (bytes == 0)
                return;
            const std::size_t part = std::min(bytes, slice.size());
            slice.wrote(part);
            bytes -= part;
        }
}

void NetReceiver::discard_waiting() {
    const iovec scrap{tail_.get(), kTailSize};
    for (unsigned i = 0; i < kDiscardLimit; ++i)
        if (backend_.read({&scrap, 1}) <= 0)
            return;
}

} // namespace godwit::virtio
