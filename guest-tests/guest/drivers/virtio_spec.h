// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names and layouts of the virtio 1.2 specification, as far as this driver uses them.
#include "base/types.h"

namespace guest::virtio {

// 2.1 device status field
namespace status {
constexpr u8 ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, DEVICE_NEEDS_RESET = 64;
}

constexpr u64 bit(unsigned n) {
    return u64{1} << n;
}

// 6 reserved feature bits
constexpr u64 VIRTIO_F_ANY_LAYOUT = bit(27), VIRTIO_F_INDIRECT_DESC = bit(28), VIRTIO_F_EVENT_IDX = bit(29),
              VIRTIO_F_VERSION_1 = bit(32);

// 4.1.4 virtio structure PCI capabilities
enum CfgType : u8 { CommonCfg = 1, NotifyCfg = 2, IsrCfg = 3, DeviceCfg = 4 };

// 4.1.4.3 common configuration structure
enum CommonOffset : u32 {
    device_feature_select = 0x00,
    device_feature = 0x04,
    driver_feature_select = 0x08,
    driver_feature = 0x0c,
    config_msix_vector = 0x10,
    num_queues = 0x12,
    device_status = 0x14,
    config_generation = 0x15,
    queue_select = 0x16,
    queue_size = 0x18,
    queue_msix_vector = 0x1a,
    queue_enable = 0x1c,
    queue_notify_off = 0x1e,
    queue_desc = 0x20,
    queue_driver = 0x28,
    queue_device = 0x30,
};
constexpr u16 VIRTIO_MSI_NO_VECTOR = 0xffff;

// 4.1.4.5 ISR status
constexpr u8 isr_queue = 1, isr_config = 2;

// 2.7 split virtqueues
struct Descriptor {
    u64 addr;
    u32 len;
    u16 flags, next;
};
static_assert(sizeof(Descriptor) == 16);
constexpr u16 VIRTQ_DESC_F_NEXT = 1, VIRTQ_DESC_F_WRITE = 2, VIRTQ_DESC_F_INDIRECT = 4;
constexpr u16 VIRTQ_AVAIL_F_NO_INTERRUPT = 1, VIRTQ_USED_F_NO_NOTIFY = 1;

struct UsedElement {
    u32 id, len;
};
static_assert(sizeof(UsedElement) == 8);

// 5.1 network device
namespace net {
constexpr u16 id = 1;
constexpr u64 VIRTIO_NET_F_CSUM = bit(0), VIRTIO_NET_F_GUEST_CSUM = bit(1), VIRTIO_NET_F_MAC = bit(5),
              VIRTIO_NET_F_MRG_RXBUF = bit(15), VIRTIO_NET_F_STATUS = bit(16), VIRTIO_NET_F_CTRL_VQ = bit(17),
              VIRTIO_NET_F_GUEST_ANNOUNCE = bit(21);
constexpr u32 config_mac = 0, config_status = 6;
constexpr u16 VIRTIO_NET_S_LINK_UP = 1, VIRTIO_NET_S_ANNOUNCE = 2;

struct Header {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(Header) == 12);
constexpr u32 legacy_header = 10; // without num_buffers, when buffers are not mergeable
constexpr u8 VIRTIO_NET_HDR_F_NEEDS_CSUM = 1, VIRTIO_NET_HDR_F_DATA_VALID = 2;

constexpr u8 VIRTIO_NET_CTRL_ANNOUNCE = 3, VIRTIO_NET_CTRL_ANNOUNCE_ACK = 0, VIRTIO_NET_OK = 0;
} // namespace net

// 5.2 block device
namespace blk {
constexpr u16 id = 2;
constexpr u64 VIRTIO_BLK_F_RO = bit(5), VIRTIO_BLK_F_FLUSH = bit(9), VIRTIO_BLK_F_DISCARD = bit(13),
              VIRTIO_BLK_F_WRITE_ZEROES = bit(14);
constexpr u32 config_capacity = 0;
constexpr u32 VIRTIO_BLK_T_IN = 0, VIRTIO_BLK_T_OUT = 1, VIRTIO_BLK_T_FLUSH = 4, VIRTIO_BLK_T_GET_ID = 8,
              VIRTIO_BLK_T_DISCARD = 11, VIRTIO_BLK_T_WRITE_ZEROES = 13;
constexpr u8 VIRTIO_BLK_S_OK = 0;

struct Header {
    u32 type, reserved;
    u64 sector;
};
static_assert(sizeof(Header) == 16);

struct Range { // of discard and write zeroes
    u64 sector;
    u32 num_sectors, flags;
};
static_assert(sizeof(Range) == 16);
} // namespace blk

// 5.4 entropy device
namespace rng {
constexpr u16 id = 4;
}

} // namespace guest::virtio
