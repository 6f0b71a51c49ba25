// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_state.h"

namespace godwit {

Status Schema<virtio::NetState>::validate(const virtio::NetState& s) {
    constexpr unsigned kKnown = virtio::VIRTIO_NET_S_LINK_UP | virtio::VIRTIO_NET_S_ANNOUNCE;
    if ((s.status & ~kKnown) != 0)
        return corrupt("status {:#x} has unknown bits", s.status);
    return {};
}

} // namespace godwit

namespace godwit::virtio {

NetState initial_net_state(const MacAddress& mac, bool has_ufo) {
    NetState state;
    state.mac = mac;
    state.has_ufo = has_ufo ? 1 : 0;
    reset_vlan_filter(state, 0);
    return state;
}

void reset_vlan_filter(NetState& state, std::uint64_t features) {
    state.vlans.fill(has_feature(features, VIRTIO_NET_F_CTRL_VLAN) ? std::byte{0} : std::byte{0xff});
}

void settle_loaded(NetState& state) {
    for (const auto flag :
         {&NetState::promisc, &NetState::allmulti, &NetState::multi_overflow, &NetState::uni_overflow,
          &NetState::alluni, &NetState::nomulti, &NetState::nouni, &NetState::nobcast, &NetState::has_ufo})
        state.*flag = state.*flag != 0 ? 1 : 0;
    if (state.mac_table_in_use > kMacTableEntries) {
        state.mac_table_in_use = 0;
        state.mac_table_macs.bytes.clear();
        state.multi_overflow = 1;
        state.uni_overflow = 1;
    }
}

Status check_net_state(const NetState& state, std::uint64_t features, bool local_ufo) {
    if (state.has_ufo != 0 && !local_ufo)
        return error(ErrorCode::Incompatible, "has_ufo: the tap here does not take UDP fragmentation");
    // Before negotiation the field may hold what an earlier driver had.
    const bool mergeable = has_feature(features, VIRTIO_NET_F_MRG_RXBUF);
    if (features != 0 && (state.mergeable_rx_bufs != 0) != mergeable)
        return error(ErrorCode::Incompatible, "mergeable_rx_bufs is {}, but the feature is {}",
                     state.mergeable_rx_bufs, mergeable ? "negotiated" : "not negotiated");
    if (has_feature(features, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) &&
        (state.curr_guest_offloads & ~(features & kGuestOffloads)) != 0)
        return error(ErrorCode::Incompatible, "curr_guest_offloads {:#x} is more than the negotiated {:#x}",
                     state.curr_guest_offloads, features & kGuestOffloads);
    return {};
}

} // namespace godwit::virtio
