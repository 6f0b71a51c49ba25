// SPDX-License-Identifier: Apache-2.0
//
// Names and layouts of the virtio network device, virtio 1.2 section 5.1. Only what this device offers or
// must recognise: one queue pair, no RSS, no hash reports.
#pragma once

#include "devices/virtio/spec.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace godwit::virtio {

using MacAddress = std::array<std::uint8_t, 6>;

// Queues, section 5.1.2 (without VIRTIO_NET_F_MQ).
inline constexpr std::uint16_t kNetReceiveQueue = 0;
inline constexpr std::uint16_t kNetTransmitQueue = 1;
inline constexpr std::uint16_t kNetControlQueue = 2;

// Feature bits, section 5.1.3.
inline constexpr unsigned VIRTIO_NET_F_CSUM = 0;
inline constexpr unsigned VIRTIO_NET_F_GUEST_CSUM = 1;
inline constexpr unsigned VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2;
inline constexpr unsigned VIRTIO_NET_F_MTU = 3;
inline constexpr unsigned VIRTIO_NET_F_MAC = 5;
inline constexpr unsigned VIRTIO_NET_F_GUEST_TSO4 = 7;
inline constexpr unsigned VIRTIO_NET_F_GUEST_TSO6 = 8;
inline constexpr unsigned VIRTIO_NET_F_GUEST_ECN = 9;
inline constexpr unsigned VIRTIO_NET_F_GUEST_UFO = 10;
inline constexpr unsigned VIRTIO_NET_F_HOST_TSO4 = 11;
inline constexpr unsigned VIRTIO_NET_F_HOST_TSO6 = 12;
inline constexpr unsigned VIRTIO_NET_F_HOST_ECN = 13;
inline constexpr unsigned VIRTIO_NET_F_HOST_UFO = 14;
inline constexpr unsigned VIRTIO_NET_F_MRG_RXBUF = 15;
inline constexpr unsigned VIRTIO_NET_F_STATUS = 16;
inline constexpr unsigned VIRTIO_NET_F_CTRL_VQ = 17;
inline constexpr unsigned VIRTIO_NET_F_CTRL_RX = 18;
inline constexpr unsigned VIRTIO_NET_F_CTRL_VLAN = 19;
inline constexpr unsigned VIRTIO_NET_F_CTRL_RX_EXTRA = 20;
inline constexpr unsigned VIRTIO_NET_F_GUEST_ANNOUNCE = 21;
inline constexpr unsigned VIRTIO_NET_F_CTRL_MAC_ADDR = 23;

// What the driver can let the device do to frames for it; the same bits in VIRTIO_NET_CTRL_GUEST_OFFLOADS.
inline constexpr std::uint64_t kGuestOffloads =
    feature(VIRTIO_NET_F_GUEST_CSUM) | feature(VIRTIO_NET_F_GUEST_TSO4) | feature(VIRTIO_NET_F_GUEST_TSO6) |
    feature(VIRTIO_NET_F_GUEST_ECN) | feature(VIRTIO_NET_F_GUEST_UFO);

// Device configuration, section 5.1.4, little-endian.
struct virtio_net_config {
    MacAddress mac;
    std::uint16_t status;
    std::uint16_t max_virtqueue_pairs;
    std::uint16_t mtu;
};
static_assert(sizeof(virtio_net_config) == 12);
inline constexpr std::array<std::uint8_t, 9> kNetConfigFields{1, 1, 1, 1, 1, 1, 2, 2, 2}; // widths
inline constexpr std::uint32_t kNetConfigLengthStatus = 8;
inline constexpr std::uint32_t kNetConfigLengthMtu = 12;

inline constexpr std::uint16_t VIRTIO_NET_S_LINK_UP = 1;
inline constexpr std::uint16_t VIRTIO_NET_S_ANNOUNCE = 2;

inline constexpr std::uint16_t kMtuMinimum = 68; // section 5.1.4.1
inline constexpr std::uint16_t kMtuMaximum = 65535;

// Header before each frame, section 5.1.6, little-endian or in a legacy driver's byte order.
struct virtio_net_hdr {
    std::uint8_t flags;
    std::uint8_t gso_type;
    std::uint16_t hdr_len;
    std::uint16_t gso_size;
    std::uint16_t csum_start;
    std::uint16_t csum_offset;
    std::uint16_t num_buffers; // absent from the short form
};
static_assert(sizeof(virtio_net_hdr) == 12);
constexpr virtio_net_hdr in_order(const virtio_net_hdr& header, DeviceEndian order) {
    return {header.flags,
            header.gso_type,
            in_order(header.hdr_len, order),
            in_order(header.gso_size, order),
            in_order(header.csum_start, order),
            in_order(header.csum_offset, order),
            in_order(header.num_buffers, order)};
}
inline constexpr std::uint32_t kNetHeaderShort = 10; // legacy driver without VIRTIO_NET_F_MRG_RXBUF
inline constexpr std::uint32_t kNetHeaderFull = 12;

constexpr std::uint32_t net_header_size(std::uint64_t features) {
    return has_feature(features, VIRTIO_F_VERSION_1) || has_feature(features, VIRTIO_NET_F_MRG_RXBUF)
               ? kNetHeaderFull
               : kNetHeaderShort;
}

inline constexpr std::uint8_t VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_NONE = 0;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_TCPV4 = 1;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_UDP = 3;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_TCPV6 = 4;
inline constexpr std::uint8_t VIRTIO_NET_HDR_GSO_ECN = 0x80;

// Control queue, section 5.1.6.5.
inline constexpr std::uint8_t VIRTIO_NET_OK = 0;
inline constexpr std::uint8_t VIRTIO_NET_ERR = 1;

inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX = 0;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_PROMISC = 0;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_ALLMULTI = 1;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_ALLUNI = 2;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_NOMULTI = 3;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_NOUNI = 4;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_RX_NOBCAST = 5;

inline constexpr std::uint8_t VIRTIO_NET_CTRL_MAC = 1;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_MAC_TABLE_SET = 0;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_MAC_ADDR_SET = 1;

inline constexpr std::uint8_t VIRTIO_NET_CTRL_VLAN = 2;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_VLAN_ADD = 0;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_VLAN_DEL = 1;

inline constexpr std::uint8_t VIRTIO_NET_CTRL_ANNOUNCE = 3;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_ANNOUNCE_ACK = 0;

inline constexpr std::uint8_t VIRTIO_NET_CTRL_GUEST_OFFLOADS = 5;
inline constexpr std::uint8_t VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET = 0;

// Ethernet (IEEE 802.3, 802.1Q).
inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kVlanTag = 4;
inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kVlanCount = 4096;

// Longest frame either way: an offloaded datagram of 64 KiB behind an Ethernet header with a tag.
inline constexpr std::size_t kFrameLimit = 65536 + kEthernetHeader + kVlanTag;

} // namespace godwit::virtio
