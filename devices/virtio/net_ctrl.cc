// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_ctrl.h"

#include "devices/virtio/net_mac.h"
#include "vmm/base/bytes.h"

namespace godwit::virtio {

namespace {

using Data = std::span<const std::byte>;

bool set_mode(NetState& state, std::uint64_t features, std::uint8_t command, Data data) {
    struct Mode {
        std::uint8_t command;
        unsigned needs;
        std::uint8_t NetState::*flag;
    };
    static constexpr Mode kModes[] = {
        {VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, &NetState::promisc},
        {VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, &NetState::allmulti},
        {VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, &NetState::alluni},
        {VIRTIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_F_CTRL_RX_EXTRA, &NetState::nomulti},
        {VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, &NetState::nouni},
        {VIRTIO_NET_CTRL_RX_NOBCAST, VIRTIO_NET_F_CTRL_RX_EXTRA, &NetState::nobcast},
    };
    if (data.size() != 1)
        return false;
    for (const Mode& mode : kModes) {
        if (mode.command != command)
            continue;
        if (!has_feature(features, mode.needs))
            return false;
        state.*mode.flag = data[0] != std::byte{0} ? 1 : 0;
        return true;
    }
    return false;
}

// One of the two lists of MAC_TABLE_SET: a le32 count, then that many addresses.
Result<Data> take_addresses(ByteReader& in, DeviceEndian order) {
    const auto count = in_order(TRY(in.le<std::uint32_t>()), order);
    return in.take(std::size_t{count} * sizeof(MacAddress));
}

bool set_table(NetState& state, std::uint64_t features, Data data, DeviceEndian order) {
    if (!has_feature(features, VIRTIO_NET_F_CTRL_RX))
        return false;
    ByteReader in{data};
    const auto unicast = take_addresses(in, order);
    if (!unicast.ok())
        return false;
    const auto multicast = take_addresses(in, order);
    if (!multicast.ok() || !in.at_end())
        return false;

    constexpr std::size_t kRoom = kMacTableEntries * sizeof(MacAddress);
    std::vector<std::byte> table;
    const auto add = [&](Data addresses) -> std::uint8_t {
        if (addresses.size() > kRoom - table.size())
            return 1;
        table.insert(table.end(), addresses.begin(), addresses.end());
        return 0;
    };
    state.uni_overflow = add(unicast.value());
    state.multi_overflow = add(multicast.value());
    state.mac_table_in_use = static_cast<std::uint32_t>(table.size() / sizeof(MacAddress));
    state.mac_table_macs.bytes = std::move(table);
    return true;
}

bool set_address(NetState& state, std::uint64_t features, Data data) {
    MacAddress mac{};
    if (!has_feature(features, VIRTIO_NET_F_CTRL_MAC_ADDR) || data.size() != mac.size())
        return false;
    std::memcpy(mac.data(), data.data(), mac.size());
    if (is_group(mac))
        return false;
    state.mac = mac;
    return true;
}

bool set_vlan(NetState& state, std::uint64_t features, std::uint8_t command, Data data, DeviceEndian order) {
    if (!has_feature(features, VIRTIO_NET_F_CTRL_VLAN) || data.size() != sizeof(std::uint16_t))
        return false;
    const auto vid = in_order(load_le<std::uint16_t>(data), order);
    if (vid >= kVlanCount)
        return false;
    const auto bit = std::byte{1} << (vid % 8);
    if (command == VIRTIO_NET_CTRL_VLAN_ADD)
        state.vlans[vid / 8] |= bit;
    else if (command == VIRTIO_NET_CTRL_VLAN_DEL)
        state.vlans[vid / 8] &= ~bit;
    else
        return false;
    return true;
}

bool acknowledge_announce(NetState& state, std::uint64_t features, std::uint8_t command, Data data) {
    if (!has_feature(features, VIRTIO_NET_F_GUEST_ANNOUNCE) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
        !data.empty() || (state.status & VIRTIO_NET_S_ANNOUNCE) == 0)
        return false;
    state.status = static_cast<std::uint16_t>(state.status & ~VIRTIO_NET_S_ANNOUNCE);
    return true;
}

bool set_offloads(NetState& state, std::uint64_t features, std::uint8_t command, Data data,
                  DeviceEndian order) {
    if (!has_feature(features, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
        command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || data.size() != sizeof(std::uint64_t))
        return false;
    const auto offloads = in_order(load_le<std::uint64_t>(data), order);
    if ((offloads & ~(features & kGuestOffloads)) != 0)
        return false;
    state.curr_guest_offloads = offloads;
    return true;
}

bool execute(NetState& state, std::uint64_t features, std::uint8_t group, std::uint8_t command, Data data,
             DeviceEndian order) {
    switch (group) {
    case VIRTIO_NET_CTRL_RX:
        return set_mode(state, features, command, data);
    case VIRTIO_NET_CTRL_MAC:
        if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
            return set_table(state, features, data, order);
        return command == VIRTIO_NET_CTRL_MAC_ADDR_SET && set_address(state, features, data);
    case VIRTIO_NET_CTRL_VLAN:
        return set_vlan(state, features, command, data, order);
    case VIRTIO_NET_CTRL_ANNOUNCE:
        return acknowledge_announce(state, features, command, data);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return set_offloads(state, features, command, data, order);
    default:
        return false;
    }
}

} // namespace

std::uint8_t handle_control(NetState& state, std::uint64_t features, std::span<const std::byte> command,
                            DeviceEndian order) {
    if (command.size() < 2 || command.size() > kControlCommandLimit)
        return VIRTIO_NET_ERR;
    const bool done = execute(state, features, static_cast<std::uint8_t>(command[0]),
                              static_cast<std::uint8_t>(command[1]), command.subspan(2), order);
    return done ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
}

} // namespace godwit::virtio
