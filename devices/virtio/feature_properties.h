// SPDX-License-Identifier: Apache-2.0
//
// Features that an operator may have left out of a device's offer: one table of QEMU's property names.
// Features that every godwit offers and for which QEMU has no name are not in it. Constants and pure
// functions.
#pragma once

#include "devices/virtio/blk_spec.h"
#include "devices/virtio/net_spec.h"
#include "devices/virtio/spec.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::virtio {

inline constexpr std::uint16_t kEveryDevice = 0; // no device has this id

struct FeatureProperty {
    std::uint16_t device_id;
    unsigned bit;
    std::string_view name;
};

inline constexpr std::array kFeatureProperties{
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CSUM, "csum"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_CSUM, "guest_csum"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "ctrl_guest_offloads"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_TSO4, "guest_tso4"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_TSO6, "guest_tso6"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_ECN, "guest_ecn"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_UFO, "guest_ufo"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_HOST_TSO4, "host_tso4"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_HOST_TSO6, "host_tso6"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_HOST_ECN, "host_ecn"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_HOST_UFO, "host_ufo"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_STATUS, "status"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_VQ, "ctrl_vq"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_RX, "ctrl_rx"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_VLAN, "ctrl_vlan"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_RX_EXTRA, "ctrl_rx_extra"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce"},
    FeatureProperty{kDeviceNet, VIRTIO_NET_F_CTRL_MAC_ADDR, "ctrl_mac_addr"},
    FeatureProperty{kDeviceBlock, VIRTIO_BLK_F_CONFIG_WCE, "config-wce"},
    FeatureProperty{kDeviceBlock, VIRTIO_BLK_F_DISCARD, "discard"},
    FeatureProperty{kDeviceBlock, VIRTIO_BLK_F_WRITE_ZEROES, "write-zeroes"},
    FeatureProperty{kEveryDevice, VIRTIO_F_INDIRECT_DESC, "indirect_desc"},
    FeatureProperty{kEveryDevice, VIRTIO_F_EVENT_IDX, "event_idx"},
    FeatureProperty{kEveryDevice, VIRTIO_F_RING_RESET, "queue_reset"},
};

// Of a type of device, those of every device included.
std::vector<FeatureProperty> feature_properties(std::uint16_t device_id);
// "csum=off"; empty when there is none.
std::string feature_option(std::uint16_t device_id, unsigned bit);

// Features of `wanted` of which none that it needs is left once `off` is (virtio 1.2 section 5.1.3.1).
std::uint64_t features_without_ground(std::uint16_t device_id, std::uint64_t wanted, std::uint64_t off);

} // namespace godwit::virtio
