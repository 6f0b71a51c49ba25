// SPDX-License-Identifier: Apache-2.0
//
// Requests that failed and wait to be tried again, and how they stand in the state stream: QEMU 7.2's list of
// virtqueue elements (hw/block/virtio-blk.c, hw/virtio/virtio.c). Threads: loop only.
#pragma once

#include "devices/virtio/queue.h"
#include "migration/state/reader.h"
#include "migration/state/writer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace godwit::virtio {

struct StalledRequest {
    std::uint16_t queue = 0;
    std::uint16_t head = 0;
    // Of its chain, for the stream: whoever tries it again reads the descriptors anew.
    std::vector<SplitQueue::Part> readable, writable;
    bool operator==(const StalledRequest&) const = default;
};

StalledRequest stalled_request(std::uint16_t queue, const SplitQueue& ring, const Chain& chain);

void save_stalled(StateWriter& writer, std::span<const StalledRequest> requests,
                  std::span<const std::uint16_t> queue_sizes);
// Everything is bounded by `queue_sizes`, and no request is there twice.
Result<std::vector<StalledRequest>> load_stalled(StateReader& reader,
                                                 std::span<const std::uint16_t> queue_sizes);

} // namespace godwit::virtio
