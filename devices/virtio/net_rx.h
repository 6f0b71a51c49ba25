// SPDX-License-Identifier: Apache-2.0
//
// The receive queue: frames are read straight into the driver's buffers. Virtio 1.2 section 5.1.6.4.
//
//     head_ (ours)            the driver's buffers, from the chains popped so far        tail_ (ours)
//     |header, Ethernet head| ......................................................... |what is left|
//
// One readv() fills all three. The head stays with us until the filter has judged it and num_buffers is
// known, and is then copied to the front of the first buffer. The tail is used only when the buffers were too
// few: the frame is held until the driver adds some. Chains that a frame did not need serve the next one;
// stop() puts them back. Loop thread only.
#pragma once

#include "devices/virtio/device.h"
#include "devices/virtio/net_backend.h"
#include "devices/virtio/net_state.h"
#include "vmm/base/log.h"

#include <deque>
#include <memory>
#include <vector>

namespace godwit::virtio {

class NetReceiver {
  public:
    explicit NetReceiver(FrameBackend& backend);

    // The queue stays valid until stop().
    void start(SplitQueue& queue, std::uint64_t features, DeviceEndian endian = DeviceEndian::Little);
    bool started() const { return queue_ != nullptr; }
    // Puts every unused buffer back. A frame that waited for buffers is lost.
    void stop();

    // Reads frames until there is none, the buffers are used up, or the turn is over. Idle without buffers
    // means that the driver was asked for a doorbell. An error: the device is broken.
    Result<Turn> turn(const NetState& state, DeviceHost& host);

    // Throws away what waited in the backend (at most a few thousand frames) before this process had the
    // guest.
    void discard_waiting();

  private:
    static constexpr std::size_t kHeadLimit = kNetHeaderFull + kEthernetHeader + kVlanTag;
    static constexpr std::size_t kTailSize =
        kNetHeaderFull + kFrameLimit + 1;       // one more shows an oversized frame
    static constexpr std::size_t kIovecs = 256; // enough for 64 KiB in the buffers of usual drivers

    // A frame that was read. Bytes count from the start of the header.
    struct Held {
        std::size_t bytes = 0;  // zero: no frame
        std::size_t direct = 0; // where tail_ begins
    };

    std::size_t head_size() const { return header_size_ + kEthernetHeader + kVlanTag; }
    Result<Turn> read_frames(const NetState& state);
    Status gather(std::size_t bytes);
    // False when there was none.
    bool read_frame(const NetState& state);
    // False when the frame must wait for buffers.
    Result<bool> place();
    void hand_over(std::size_t bytes);
    std::span<const iovec> lend(std::size_t& direct);
    void scatter(std::size_t at, std::span<const std::byte> bytes);
    void mark_dirty(std::size_t bytes);

    FrameBackend& backend_;
    SplitQueue* queue_ = nullptr;
    std::uint32_t header_size_ = kNetHeaderFull;
    DeviceEndian endian_ = DeviceEndian::Little;
    bool mergeable_ = false;
    bool doorbell_wanted_ = true; // what the driver was told

    std::deque<Chain> chains_; // popped and not used yet, in the ring's order
    std::size_t capacity_ = 0; // their writable bytes
    std::vector<Chain> spare_; // empty ones that kept their memory
    std::vector<SplitQueue::Used> used_;

    Held held_;
    std::array<std::byte, kHeadLimit> head_{};
    std::unique_ptr<std::byte[]> tail_;
    std::array<iovec, kIovecs> iovecs_{};
    log::RateLimit errors_;
};

} // namespace godwit::virtio
