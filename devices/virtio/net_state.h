// SPDX-License-Identifier: Apache-2.0
//
// Everything of a network device that the guest can observe and that nobody else keeps: the record
// "virtio-net-device" of the state stream, in QEMU's field order (version 11, one queue pair). Loop thread.
#pragma once

#include "devices/virtio/net_spec.h"
#include "migration/state/schema.h"

#include <cstdint>

namespace godwit::virtio {

inline constexpr std::uint32_t kMacTableEntries = 64;
// Longest table that a stream may carry; above kMacTableEntries it is skipped (see settle_loaded()).
inline constexpr std::uint32_t kMacTableStreamLimit = 4096;

struct NetState {
    MacAddress mac{};
    std::uint32_t tx_waiting = 0; // QEMU's: a transmission was postponed. We look at the queue at each start.
    std::uint32_t mergeable_rx_bufs = 0; // VIRTIO_NET_F_MRG_RXBUF was negotiated
    std::uint16_t status = VIRTIO_NET_S_LINK_UP;
    // Receive filter, section 5.1.6.5.1: 0 or 1 each.
    std::uint8_t promisc = 1;
    std::uint8_t allmulti = 0;
    std::uint32_t mac_table_in_use = 0;
    BoundedBytes<kMacTableStreamLimit * sizeof(MacAddress)> mac_table_macs; // in_use of them
    std::array<std::byte, kVlanCount / 8>
        vlans{};                     // bit v % 8 of byte v / 8: QEMU's words on a little-endian host
    std::uint32_t has_vnet_hdr = 1;  // our backends always carry the header
    std::uint8_t multi_overflow = 0; // more addresses than the table holds: all of their kind pass
    std::uint8_t uni_overflow = 0;
    std::uint8_t alluni = 0;
    std::uint8_t nomulti = 0;
    std::uint8_t nouni = 0;
    std::uint8_t nobcast = 0;
    std::uint8_t has_ufo = 0;
    std::uint64_t curr_guest_offloads = 0; // what VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET chose
    std::uint32_t low_features = 0;        // feature bits 0 to 31: decide whether the field before travels

    bool operator==(const NetState&) const = default;
};

// The filter and the address after a reset: everything passes.
NetState initial_net_state(const MacAddress& mac, bool has_ufo);

// The VLAN filter for newly negotiated features: nothing passes until the driver adds it, or everything when
// the driver cannot.
void reset_vlan_filter(NetState& state, std::uint64_t features);

// Brings a record into the form that the device itself would have: truth values are 0 or 1; a table that is
// too long is emptied and all addresses pass instead, so that the guest loses nothing.
void settle_loaded(NetState& state);

// What needs all feature bits and the local backend. The error names the field.
Status check_net_state(const NetState& state, std::uint64_t features, bool local_ufo);

} // namespace godwit::virtio

namespace godwit {

template <>
struct Schema<virtio::NetState> {
    using S = virtio::NetState;
    static constexpr std::string_view name = "virtio-net-device";
    static constexpr std::uint32_t version = 11, minimum_version = 11;
    static constexpr std::tuple fields{
        Field{"mac", &S::mac},
        Field{"tx_waiting", &S::tx_waiting},
        Field{"mergeable_rx_bufs", &S::mergeable_rx_bufs},
        Field{"status", &S::status},
        Field{"promisc", &S::promisc},
        Field{"allmulti", &S::allmulti},
        Field{"mac_table.in_use", &S::mac_table_in_use},
        Field<S, decltype(S::mac_table_macs)>{
            "mac_table.macs", &S::mac_table_macs, 0, nullptr,
            [](const S& s) { return std::size_t{s.mac_table_in_use} * sizeof(virtio::MacAddress); }},
        Field{"vlans", &S::vlans},
        Field{"has_vnet_hdr", &S::has_vnet_hdr},
        Field{"mac_table.multi_overflow", &S::multi_overflow},
        Field{"mac_table.uni_overflow", &S::uni_overflow},
        Field{"alluni", &S::alluni},
        Field{"nomulti", &S::nomulti},
        Field{"nouni", &S::nouni},
        Field{"nobcast", &S::nobcast},
        Field{"has_ufo", &S::has_ufo},
        Transient{&S::low_features},
        Field<S, std::uint64_t>{"curr_guest_offloads", &S::curr_guest_offloads, 0,
                                [](const S& s) {
                                    return virtio::has_feature(s.low_features,
                                                               virtio::VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
                                }},
    };
    static Status validate(const S& s);
};
static_assert(schema_is_complete<virtio::NetState>());

} // namespace godwit
