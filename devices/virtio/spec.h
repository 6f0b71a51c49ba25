// SPDX-License-Identifier: Apache-2.0
//
// Names and layouts of virtio 1.2 that concern every device; the devices' own are in blk_spec.h and
// net_spec.h.
#pragma once

#include "vmm/base/bytes.h"

#include <cstdint>

namespace godwit::virtio {

// Byte order of what driver and device share in memory: little-endian, but that of the guest for a legacy
// driver (section 2.4.3, 2.7.3). Numbered as in QEMU's state stream.
enum class DeviceEndian : std::uint8_t { Little = 1, Big = 2 };

// From the driver's byte order to ours, and back.
template <std::unsigned_integral T>
constexpr T in_order(T value, DeviceEndian order) {
    return order == DeviceEndian::Big ? byte_swap(value) : value;
}

// Device status, section 2.1.
inline constexpr std::uint8_t ACKNOWLEDGE = 1;
inline constexpr std::uint8_t DRIVER = 2;
inline constexpr std::uint8_t DRIVER_OK = 4;
inline constexpr std::uint8_t FEATURES_OK = 8;
inline constexpr std::uint8_t DEVICE_NEEDS_RESET = 64;
inline constexpr std::uint8_t FAILED = 128;

// Reserved feature bits, section 6 (and 24, 27 of the legacy interface).
inline constexpr unsigned VIRTIO_F_NOTIFY_ON_EMPTY = 24;
inline constexpr unsigned VIRTIO_F_ANY_LAYOUT = 27;
inline constexpr unsigned VIRTIO_F_INDIRECT_DESC = 28;
inline constexpr unsigned VIRTIO_F_EVENT_IDX = 29;
inline constexpr unsigned VIRTIO_F_VERSION_1 = 32;
inline constexpr unsigned VIRTIO_F_ACCESS_PLATFORM = 33;
inline constexpr unsigned VIRTIO_F_RING_PACKED = 34;
inline constexpr unsigned VIRTIO_F_IN_ORDER = 35;
inline constexpr unsigned VIRTIO_F_ORDER_PLATFORM = 36;
inline constexpr unsigned VIRTIO_F_SR_IOV = 37;
inline constexpr unsigned VIRTIO_F_NOTIFICATION_DATA = 38;
inline constexpr unsigned VIRTIO_F_NOTIF_CONFIG_DATA = 39;
inline constexpr unsigned VIRTIO_F_RING_RESET = 40;

constexpr std::uint64_t feature(unsigned bit) {
    return std::uint64_t{1} << bit;
}
constexpr bool has_feature(std::uint64_t features, unsigned bit) {
    return (features & feature(bit)) != 0;
}

// Most queues that a device can have in the state stream.
inline constexpr std::uint32_t VIRTIO_QUEUE_MAX = 1024;
inline constexpr std::uint16_t kQueueSizeLimit = 1024; // largest ring that we offer or load

// Split virtqueue, section 2.7.
inline constexpr std::uint16_t VIRTQ_DESC_F_NEXT = 1;
inline constexpr std::uint16_t VIRTQ_DESC_F_WRITE = 2;
inline constexpr std::uint16_t VIRTQ_DESC_F_INDIRECT = 4;
inline constexpr std::uint16_t VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
inline constexpr std::uint16_t VIRTQ_USED_F_NO_NOTIFY = 1;

struct virtq_desc { // section 2.7.5, little-endian
    std::uint64_t addr;
    std::uint32_t len;
    std::uint16_t flags;
    std::uint16_t next;
};
static_assert(sizeof(virtq_desc) == 16);
constexpr virtq_desc in_order(const virtq_desc& desc, DeviceEndian order) {
    return {in_order(desc.addr, order), in_order(desc.len, order), in_order(desc.flags, order),
            in_order(desc.next, order)};
}

struct virtq_used_elem { // section 2.7.8
    std::uint32_t id;
    std::uint32_t len;
};
static_assert(sizeof(virtq_used_elem) == 8);

// Interrupt status bits (section 4.1.4.5).
inline constexpr std::uint8_t kIsrQueue = 1;
inline constexpr std::uint8_t kIsrConfig = 2;

// Device types, section 5.
inline constexpr std::uint16_t kDeviceNet = 1;
inline constexpr std::uint16_t kDeviceBlock = 2;
inline constexpr std::uint16_t kDeviceEntropy = 4;

} // namespace godwit::virtio
