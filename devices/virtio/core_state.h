// SPDX-License-Identifier: Apache-2.0
//
// What the core's saving and loading share: the scratch of a load, and pieces of the layout. Private to the
// core.
#pragma once

#include "devices/virtio/core.h"

#include <array>
#include <string>
#include <vector>

namespace godwit::virtio {

inline constexpr std::size_t kRingBytes = 16; // one entry of "virtio/virtqueues": be64 avail, be64 used

// Sizes to which a reset puts the queues back; zero for queues that do not exist.
struct RingSizes {
    std::array<std::uint32_t, VIRTIO_QUEUE_MAX> sizes{};
};

struct Core::Loaded {
    std::uint64_t features = 0; // bits 0 to 31 until the subsection with all of them was read
    std::uint8_t status = 0;
    std::uint8_t isr = 0;
    std::uint16_t queue_select = 0;
    std::vector<std::byte> config;
    DeviceEndian endian = DeviceEndian::Little;
    bool broken = false;
    bool disabled = false;
    bool started = false;
    std::vector<QueueSetup> queues;
    std::vector<std::uint16_t> last_avail;
    std::vector<std::string> subsections; // names seen
};

} // namespace godwit::virtio

template <>
struct godwit::Schema<godwit::virtio::RingSizes> {
    static constexpr std::string_view name = "virtio/ringsize";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"num_default", &virtio::RingSizes::sizes}};
};
static_assert(godwit::schema_is_complete<godwit::virtio::RingSizes>());
