// SPDX-License-Identifier: Apache-2.0
//
// Where a network device's frames come from and go to: a tap, or a socket in tests. Every frame, both ways,
// is preceded by a virtio_net_hdr of the length given to configure(). Threads: loop only, except where said.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <span>
#include <string>
#include <sys/uio.h>

namespace godwit::virtio {

// How one turn at a queue ended.
enum class Turn {
    Idle,    // nothing left to do until something arrives: a frame, or a buffer of the driver
    Again,   // the turn's share is used up and there may be more
    Blocked, // the backend takes no more for the moment
};

// Frames (or commands) handled before the loop's other users get their turn.
inline constexpr unsigned kFramesPerTurn = 64;

class FrameBackend {
  public:
    virtual ~FrameBackend() = default;

    // For messages: "tap 'tap0'".
    virtual std::string name() const = 0;
    // Readable when a frame waits, writable when one can be sent. Non-blocking.
    virtual int fd() const = 0;
    // Whether UDP fragmentation can be left to the host (QEMU's "has_ufo").
    virtual bool has_ufo() const = 0;

    // Length of the header: before the first frame of a run.
    virtual Status set_header_size(std::uint32_t bytes) = 0;
    // What the guest takes without our help, as bits of kGuestOffloads. Combinations that make no sense
    // (segmentation without checksum) are reduced to what does.
    virtual Status set_guest_offloads(std::uint64_t offloads) = 0;

    // One frame with its header. Bytes moved, or -errno; -EAGAIN when there is none, or no room for one. What
    // does not fit into the buffers is lost.
    virtual std::int64_t read(std::span<const iovec> buffers) = 0;
    virtual std::int64_t write(std::span<const iovec> buffers) = 0;
};

} // namespace godwit::virtio
