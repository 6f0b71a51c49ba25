// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/feature_properties.h"

#include <fmt/core.h>

namespace godwit::virtio {

namespace {

// Needs at least one of them.
struct Requirement {
    unsigned bit;
    std::uint64_t one_of;
};

// Section 5.1.3.1. Of CTRL_RX_EXTRA it says nothing, but its commands go through the control queue as well.
constexpr Requirement kNetRequirements[]{
    {VIRTIO_NET_F_GUEST_TSO4, feature(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_TSO6, feature(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_ECN, feature(VIRTIO_NET_F_GUEST_TSO4) | feature(VIRTIO_NET_F_GUEST_TSO6)},
    {VIRTIO_NET_F_GUEST_UFO, feature(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_HOST_TSO4, feature(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_TSO6, feature(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_ECN, feature(VIRTIO_NET_F_HOST_TSO4) | feature(VIRTIO_NET_F_HOST_TSO6)},
    {VIRTIO_NET_F_HOST_UFO, feature(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_CTRL_RX, feature(VIRTIO_NET_F_CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_VLAN, feature(VIRTIO_NET_F_CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_RX_EXTRA, feature(VIRTIO_NET_F_CTRL_VQ)},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, feature(VIRTIO_NET_F_CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, feature(VIRTIO_NET_F_CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, feature(VIRTIO_NET_F_CTRL_VQ)},
};

} // namespace

std::vector<FeatureProperty> feature_properties(std::uint16_t device_id) {
    std::vector<FeatureProperty> found;
    for (const FeatureProperty& property : kFeatureProperties)
        if (property.device_id == device_id || property.device_id == kEveryDevice)
            found.push_back(property);
    return found;
}

std::string feature_option(std::uint16_t device_id, unsigned bit) {
    for (const FeatureProperty& property : feature_properties(device_id))
        if (property.bit == bit)
            return fmt::format("{}=off", property.name);
    return {};
}

std::uint64_t features_without_ground(std::uint16_t device_id, std::uint64_t wanted, std::uint64_t off) {
    std::uint64_t lost = 0;
    if (device_id != kDeviceNet)
        return lost;
    for (std::uint64_t before = ~lost; before != lost;) { // one may need another that does
        before = lost;
        for (const auto& [bit, one_of] : kNetRequirements)
            if (has_feature(wanted, bit) && (one_of & ~(off | lost)) == 0)
                lost |= feature(bit);
    }
    return lost;
}

} // namespace godwit::virtio
