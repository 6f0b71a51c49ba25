// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_stalled.h"

#include "vmm/base/bytes.h"

#include <algorithm>
#include <array>
#include <limits>

namespace godwit::virtio {

namespace {

// The image of QEMU's struct on a little-endian host: u32 index, out_num, in_num, padding; u64 in_addr[1024],
// out_addr[1024]; {u64 base, u64 length} in_sg[1024], out_sg[1024]. The base is a pointer, which is sent as
// 0.
constexpr std::size_t kMaxParts = 1024;
constexpr std::size_t kInAddresses = 16;
constexpr std::size_t kOutAddresses = kInAddresses + 8 * kMaxParts;
constexpr std::size_t kInLengths = kOutAddresses + 8 * kMaxParts;
constexpr std::size_t kOutLengths = kInLengths + 16 * kMaxParts;
constexpr std::size_t kElement = kOutLengths + 16 * kMaxParts;
static_assert(kElement == 49168);
using Element = std::array<std::byte, kElement>;

template <class T>
void put(Element& element, std::size_t at, T value) {
    store_le(std::span{element}.subspan(at), value);
}
template <class T>
T get(const Element& element, std::size_t at) {
    return load_le<T>(std::span{element}.subspan(at));
}

void put_parts(Element& element, std::span<const SplitQueue::Part> parts, std::size_t addresses,
               std::size_t lengths) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
        put(element, addresses + 8 * i, parts[i].at.value);
        put(element, lengths + 16 * i + 8, std::uint64_t{parts[i].length});
    }
}

Result<std::vector<SplitQueue::Part>> get_parts(const Element& element, std::uint32_t count,
                                                std::size_t addresses, std::size_t lengths) {
    if (count > kMaxParts)
        return corrupt("{} parts of a request, at most {} can be", count, kMaxParts);
    std::vector<SplitQueue::Part> parts;
    for (std::size_t i = 0; i < count; ++i) {
        const auto length = get<std::uint64_t>(element, lengths + 16 * i + 8);
        if (length > std::numeric_limits<std::uint32_t>::max())
            return corrupt("a part of a request has {} bytes", length);
        parts.push_back(
            {Gpa{get<std::uint64_t>(element, addresses + 8 * i)}, static_cast<std::uint32_t>(length)});
    }
    return parts;
}

Result<StalledRequest> parse(const Element& element, std::uint32_t queue,
                             std::span<const std::uint16_t> queue_sizes) {
    if (queue >= queue_sizes.size())
        return error(ErrorCode::Incompatible, "a request of queue {}, there are {} here", queue,
                     queue_sizes.size());
    const auto head = get<std::uint32_t>(element, 0);
    if (head >= queue_sizes[queue])
        return corrupt("head {} in a queue of up to {}", head, queue_sizes[queue]);
    StalledRequest request;
    request.queue = static_cast<std::uint16_t>(queue);
    request.head = static_cast<std::uint16_t>(head);
    request.readable = TRY(get_parts(element, get<std::uint32_t>(element, 4), kOutAddresses, kOutLengths));
    request.writable = TRY(get_parts(element, get<std::uint32_t>(element, 8), kInAddresses, kInLengths));
    return request;
}

} // namespace

StalledRequest stalled_request(std::uint16_t queue, const SplitQueue& ring, const Chain& chain) {
    const auto parts = ring.parts_of(chain);
    const auto border = parts.begin() + static_cast<std::ptrdiff_t>(chain.readable.size());
    return {queue, chain.head, {parts.begin(), border}, {border, parts.end()}};
}

void save_stalled(StateWriter& writer, std::span<const StalledRequest> requests,
                  std::span<const std::uint16_t> queue_sizes) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const StalledRequest& request = requests[i];
        const auto nesting = writer.begin_struct("request", "virtqueue_element", 1, i);
        writer.value("more", std::uint8_t{1});
        if (queue_sizes.size() > 1)
            writer.value("queue", std::uint32_t{request.queue});
        Element element{};
        put(element, 0, std::uint32_t{request.head});
        put(element, 4, static_cast<std::uint32_t>(request.readable.size()));
        put(element, 8, static_cast<std::uint32_t>(request.writable.size()));
        put_parts(element, request.writable, kInAddresses, kInLengths);
        put_parts(element, request.readable, kOutAddresses, kOutLengths);
        writer.buffer("element", element);
        writer.end(nesting);
    }
    writer.value("requests", std::uint8_t{0}); // the end of the list
}

Result<std::vector<StalledRequest>> load_stalled(StateReader& reader,
                                                 std::span<const std::uint16_t> queue_sizes) {
    std::vector<StalledRequest> requests;
    for (;;) {
        std::uint8_t more = 0;
        TRY(reader.value("requests", more));
        if (more == 0)
            return requests;
        if (more != 1)
            TRY(reader.within(corrupt("{} is neither a request (1) nor the end of the list (0)", more)));
        std::uint32_t queue = 0;
        if (queue_sizes.size() > 1)
            TRY(reader.value("queue", queue));
        Element element;
        TRY(reader.buffer("element", element));
        StalledRequest request = TRY(reader.within(parse(element, queue, queue_sizes)));
        for (const StalledRequest& other : requests)
            if (other.queue == request.queue && other.head == request.head)
                TRY(reader.within(corrupt("head {} of queue {} comes twice", request.head, request.queue)));
        requests.push_back(std::move(request));
    }
}

} // namespace godwit::virtio
