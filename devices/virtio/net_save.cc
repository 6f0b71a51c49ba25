// SPDX-License-Identifier: Apache-2.0
//
// Saving and loading a network device: its part of the section "virtio-net".
#include "devices/virtio/net.h"

#include "vmm/base/bytes.h"

#include <cstddef>

namespace godwit::virtio {

Status Net::save_device(StateWriter& writer, std::uint32_t low_features) {
    NetState state = state_;
    state.low_features = low_features;
    // A driver that has written its features but not FEATURES_OK: what acceptance would make of them, as QEMU
    // looks at them when they are written.
    if (features_ == 0) {
        state.mergeable_rx_bufs = has_feature(low_features, VIRTIO_NET_F_MRG_RXBUF) ? 1 : 0;
        state.curr_guest_offloads = offloads_of(low_features);
    }
    writer.structure("device", state);
    return {};
}

Status Net::load_config(std::span<const std::byte> config) {
    loaded_mtu_ = config.size() < kNetConfigLengthMtu
                      ? std::uint16_t{0}
                      : load_le<std::uint16_t>(config.subspan(offsetof(virtio_net_config, mtu)));
    return {};
}

Status Net::load_device(StateReader& reader, std::uint32_t low_features) {
    NetState state;
    state.low_features = low_features;
    TRY(reader.structure("device", state));
    settle_loaded(state);
    loaded_ = std::move(state);
    return {};
}

Status Net::check_loaded(std::uint64_t features) {
    if (!loaded_.has_value())
        return error(ErrorCode::Internal, "{}: nothing was loaded", options_.id);
    const std::uint16_t mtu = options_.mtu.value_or(0);
    if (has_feature(features, VIRTIO_NET_F_MTU) && loaded_mtu_ != 0 && loaded_mtu_ != mtu)
        return error(ErrorCode::Incompatible, "the MTU is {} on the source and {} here", loaded_mtu_, mtu);
    return check_net_state(*loaded_, features, has_ufo());
}

Status Net::commit_load(std::uint64_t features) {
    if (!loaded_.has_value())
        return error(ErrorCode::Internal, "{}: nothing was loaded", options_.id);
    state_ = std::move(*loaded_);
    loaded_.reset();
    if (adopts_mac() && !mac_adopted_) // a file does not tell which was the device's before the driver's
        own_mac_ = state_.mac;
    state_.tx_waiting = 0;
    state_.has_vnet_hdr = 1;
    state_.has_ufo = has_ufo() ? 1 : 0;
    state_.low_features = 0;
    state_.mergeable_rx_bufs = has_feature(features, VIRTIO_NET_F_MRG_RXBUF) ? 1 : 0;
    if (!has_feature(features, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
        state_.curr_guest_offloads = offloads_of(features);
    if (!has_feature(features, VIRTIO_NET_F_CTRL_VLAN))
        reset_vlan_filter(state_, features);
    discard_waiting_ = true;
    return {};
}

void Net::discard_load() {
    loaded_.reset();
}

} // namespace godwit::virtio
