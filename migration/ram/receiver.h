// SPDX-License-Identifier: Apache-2.0
//
// Receives the pages of one connection straight into guest memory. Every run is checked against RAM, and
// claimed, before a byte of it is read. One thread per receiver.
#pragma once

#include "migration/protocol/session.h"
#include "migration/ram/codec.h"
#include "migration/ram/incoming_ram.h"

#include <vector>

namespace godwit::migration {

class RamReceiver {
  public:
    // Both must outlive the receiver.
    // Without a codec compressed frames are refused.
    RamReceiver(IncomingRam& ram, FrameStream& stream, std::unique_ptr<Codec> codec = nullptr)
        : ram_(ram), stream_(stream), codec_(std::move(codec)) {}

    // A RAM, RAM_PACKED or RAM_ZERO frame that was received; page data is still in the stream.
    Status take(const Frame& frame, IncomingRam::Guest guest);

    // Of this connection, since the start.
    std::uint64_t pages() const { return pages_; }

  private:
    Status data(const Frame& frame, IncomingRam::Guest guest);
    Status packed(const Frame& frame, IncomingRam::Guest guest);
    Status zero(const Frame& frame);

    IncomingRam& ram_;
    FrameStream& stream_;
    std::unique_ptr<Codec> codec_; // may be null
    std::uint64_t pages_ = 0;
    std::vector<std::byte> block_; // as it came, and the pages that it held
    std::vector<std::byte> unpacked_;
    std::vector<iovec> parts_;
};

} // namespace godwit::migration
