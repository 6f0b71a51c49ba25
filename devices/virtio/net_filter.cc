// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_filter.h"

#include "devices/virtio/net_mac.h"
#include "vmm/base/bytes.h"

#include <algorithm>

namespace godwit::virtio {

namespace {

constexpr std::size_t kEtherTypeOffset = 12;
constexpr MacAddress kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

bool vlan_wanted(const NetState& state, std::span<const std::byte> head) {
    if (load_be<std::uint16_t>(head.subspan(kEtherTypeOffset)) != kEtherTypeVlan)
        return true;
    if (head.size() < kEthernetHeader + kVlanTag)
        return false;
    const auto vid = load_be<std::uint16_t>(head.subspan(kEthernetHeader)) & (kVlanCount - 1u);
    return (static_cast<unsigned>(state.vlans[vid / 8]) >> (vid % 8) & 1) != 0;
}

bool in_table(const NetState& state, std::span<const std::byte, sizeof(MacAddress)> address) {
    const std::span table{state.mac_table_macs.bytes};
    for (std::size_t at = 0; at + sizeof(MacAddress) <= table.size(); at += sizeof(MacAddress))
        if (std::equal(address.begin(), address.end(), table.begin() + static_cast<std::ptrdiff_t>(at)))
            return true;
    return false;
}

} // namespace

bool frame_wanted(const NetState& state, std::span<const std::byte> head) {
    if (head.size() < kEthernetHeader)
        return false;
    if (state.promisc != 0)
        return true;
    if (!vlan_wanted(state, head))
        return false;
    const auto address = head.first<sizeof(MacAddress)>();
    MacAddress destination;
    std::memcpy(destination.data(), address.data(), address.size());
    if (destination == kBroadcast)
        return state.nobcast == 0;
    // One table holds both kinds: a group address cannot equal a station's.
    if (is_group(destination))
        return state.nomulti == 0 &&
               (state.allmulti != 0 || state.multi_overflow != 0 || in_table(state, address));
    return state.nouni == 0 && (state.alluni != 0 || state.uni_overflow != 0 || destination == state.mac ||
                                in_table(state, address));
}

} // namespace godwit::virtio
