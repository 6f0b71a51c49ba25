// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/feature_names.h"

#include "devices/virtio/spec.h"

#include <bit>
#include <fmt/core.h>
#include <span>
#include <string_view>

namespace godwit::virtio {

namespace {

struct Name {
    unsigned bit;
    std::string_view name;
};

constexpr Name kReserved[] = {
    {24, "VIRTIO_F_NOTIFY_ON_EMPTY"}, {27, "VIRTIO_F_ANY_LAYOUT"},        {28, "VIRTIO_F_INDIRECT_DESC"},
    {29, "VIRTIO_F_EVENT_IDX"},       {32, "VIRTIO_F_VERSION_1"},         {33, "VIRTIO_F_ACCESS_PLATFORM"},
    {34, "VIRTIO_F_RING_PACKED"},     {35, "VIRTIO_F_IN_ORDER"},          {36, "VIRTIO_F_ORDER_PLATFORM"},
    {37, "VIRTIO_F_SR_IOV"},          {38, "VIRTIO_F_NOTIFICATION_DATA"}, {39, "VIRTIO_F_NOTIF_CONFIG_DATA"},
    {40, "VIRTIO_F_RING_RESET"},
};

constexpr Name kNet[] = {
    {0, "VIRTIO_NET_F_CSUM"},
    {1, "VIRTIO_NET_F_GUEST_CSUM"},
    {2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS"},
    {3, "VIRTIO_NET_F_MTU"},
    {5, "VIRTIO_NET_F_MAC"},
    {6, "VIRTIO_NET_F_GSO"},
    {7, "VIRTIO_NET_F_GUEST_TSO4"},
    {8, "VIRTIO_NET_F_GUEST_TSO6"},
    {9, "VIRTIO_NET_F_GUEST_ECN"},
    {10, "VIRTIO_NET_F_GUEST_UFO"},
    {11, "VIRTIO_NET_F_HOST_TSO4"},
    {12, "VIRTIO_NET_F_HOST_TSO6"},
    {13, "VIRTIO_NET_F_HOST_ECN"},
    {14, "VIRTIO_NET_F_HOST_UFO"},
    {15, "VIRTIO_NET_F_MRG_RXBUF"},
    {16, "VIRTIO_NET_F_STATUS"},
    {17, "VIRTIO_NET_F_CTRL_VQ"},
    {18, "VIRTIO_NET_F_CTRL_RX"},
    {19, "VIRTIO_NET_F_CTRL_VLAN"},
    {20, "VIRTIO_NET_F_CTRL_RX_EXTRA"},
    {21, "VIRTIO_NET_F_GUEST_ANNOUNCE"},
    {22, "VIRTIO_NET_F_MQ"},
    {23, "VIRTIO_NET_F_CTRL_MAC_ADDR"},
    {54, "VIRTIO_NET_F_GUEST_USO4"},
    {55, "VIRTIO_NET_F_GUEST_USO6"},
    {56, "VIRTIO_NET_F_HOST_USO"},
    {57, "VIRTIO_NET_F_HASH_REPORT"},
    {59, "VIRTIO_NET_F_GUEST_HDRLEN"},
    {60, "VIRTIO_NET_F_RSS"},
    {61, "VIRTIO_NET_F_RSC_EXT"},
    {62, "VIRTIO_NET_F_STANDBY"},
    {63, "VIRTIO_NET_F_SPEED_DUPLEX"},
};

constexpr Name kBlock[] = {
    {0, "VIRTIO_BLK_F_BARRIER"},       {1, "VIRTIO_BLK_F_SIZE_MAX"},  {2, "VIRTIO_BLK_F_SEG_MAX"},
    {4, "VIRTIO_BLK_F_GEOMETRY"},      {5, "VIRTIO_BLK_F_RO"},        {6, "VIRTIO_BLK_F_BLK_SIZE"},
    {7, "VIRTIO_BLK_F_SCSI"},          {9, "VIRTIO_BLK_F_FLUSH"},     {10, "VIRTIO_BLK_F_TOPOLOGY"},
    {11, "VIRTIO_BLK_F_CONFIG_WCE"},   {12, "VIRTIO_BLK_F_MQ"},       {13, "VIRTIO_BLK_F_DISCARD"},
    {14, "VIRTIO_BLK_F_WRITE_ZEROES"}, {15, "VIRTIO_BLK_F_LIFETIME"}, {16, "VIRTIO_BLK_F_SECURE_ERASE"},
};

std::string_view find(std::span<const Name> names, unsigned bit) {
    for (const Name& entry : names)
        if (entry.bit == bit)
            return entry.name;
    return {};
}

} // namespace

std::string feature_name(std::uint16_t device_id, unsigned bit) {
    std::string_view name = find(kReserved, bit);
    if (name.empty() && device_id == kDeviceNet)
        name = find(kNet, bit);
    if (name.empty() && device_id == kDeviceBlock)
        name = find(kBlock, bit);
    return name.empty() ? fmt::format("feature bit {}", bit) : fmt::format("{} ({})", name, bit);
}

std::string feature_names(std::uint16_t device_id, std::uint64_t features) {
    std::string text;
    for (; features != 0; features &= features - 1) {
        if (!text.empty())
            text += ", ";
        text += feature_name(device_id, static_cast<unsigned>(std::countr_zero(features)));
    }
    return text;
}

} // namespace godwit::virtio
