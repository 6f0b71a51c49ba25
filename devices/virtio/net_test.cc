// SPDX-License-Identifier: Apache-2.0
//
// The parts of the network device that are functions of their arguments: addresses, headers, filters, control
// commands, announcements.
#include "devices/virtio/announce.h"
#include "devices/virtio/net_ctrl.h"
#include "devices/virtio/net_filter.h"
#include "devices/virtio/net_header.h"
#include "devices/virtio/net_mac.h"

#include <catch2/catch.hpp>

namespace net_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};
constexpr MacAddress kOwn{0x52, 0x54, 0, 1, 2, 3};
constexpr MacAddress kOther{0x52, 0x54, 0, 9, 9, 9};
constexpr MacAddress kGroup{0x01, 0, 0x5e, 1, 2, 3};
constexpr MacAddress kEveryone{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

constexpr std::size_t kFrame = 1514;

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
    std::vector<std::byte> out;
    for (const unsigned value : values)
        out.push_back(static_cast<std::byte>(value));
    return out;
}

void append(std::vector<std::byte>& out, const MacAddress& mac) {
    for (const auto byte : mac)
        out.push_back(std::byte{byte});
}

std::vector<std::byte> table_command(std::size_t unicast, std::size_t multicast) {
    auto out = bytes({VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET});
    for (const auto& [count, first] : {std::pair{unicast, 0x52u}, std::pair{multicast, 0x01u}}) {
        for (unsigned shift = 0; shift < 32; shift += 8)
            out.push_back(static_cast<std::byte>(count >> shift));
        for (std::size_t i = 0; i < count; ++i)
            append(out, {static_cast<std::uint8_t>(first), 0, 0, 0, static_cast<std::uint8_t>(i >> 8),
                         static_cast<std::uint8_t>(i)});
    }
    return out;
}

NetState filtering_state() {
    NetState state = initial_net_state(kOwn, true);
    state.promisc = 0;
    return state;
}

bool wanted(const NetState& state, const MacAddress& to, std::optional<unsigned> vlan = std::nullopt) {
    std::vector<std::byte> head;
    append(head, to);
    append(head, kOther);
    const auto type = vlan.has_value() ? bytes({0x81, 0x00, *vlan >> 8, *vlan & 0xff, 8, 0}) : bytes({8, 0});
    head.insert(head.end(), type.begin(), type.end());
    return frame_wanted(state, head);
}

} // namespace

TEST_CASE("MAC addresses are read and written") {
    CHECK(parse_mac("52:54:00:aB:cD:0f").value() == MacAddress{0x52, 0x54, 0, 0xab, 0xcd, 0x0f});
    CHECK(format_mac({0x52, 0x54, 0, 0xab, 0xcd, 0x0f}) == "52:54:00:ab:cd:0f");
    for (const auto* text : {"", "52:54:00:ab:cd", "52:54:00:ab:cd:0", "52:54:00:ab:cd:0g",
                             "52-54-00-ab-cd-0f", "52:54:00:ab:cd:0f:", "52:54:00:ab:cd: f",
                             "01:00:5e:00:00:01", "00:00:00:00:00:00", "+2:54:00:ab:cd:0f"})
        CHECK_FALSE(parse_mac(text).ok());
}

TEST_CASE("a default address is stable, local and one station's") {
    const auto mac = default_mac("tap0");
    CHECK(mac == default_mac("tap0"));
    CHECK((mac[0] & 3) == 2);
    // Near texts have addresses that differ in more than a bit or two.
    for (const char* const other : {"tap1", "ta", "tap00", ""}) {
        const auto near = default_mac(other);
        CHECK(std::ranges::mismatch(mac, near).in1 != mac.end());
        int same = 0;
        for (std::size_t i = 0; i < mac.size(); ++i)
            same += mac[i] == near[i] ? 1 : 0;
        CHECK(same < 3);
    }
}

TEST_CASE("a reverse ARP request has these bytes") {
    const auto frame = rarp_frame(kOwn);
    const auto expected =
        bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 1, 2, 3, 0x80, 0x35, 0, 1, 8, 0, 6, 4,
               0,    3,    0x52, 0x54, 0,    1,    2,    3,    0, 0, 0, 0, 0x52, 0x54, 0, 1, 2, 3, 0, 0,
               0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0});
    REQUIRE(expected.size() == frame.size());
    CHECK(std::equal(frame.begin(), frame.end(), expected.begin()));
}

TEST_CASE("announcements are 50 ms apart at first and 100 ms more each time") {
    using namespace std::chrono_literals;
    CHECK(announce_pause(1) == 50ms);
    CHECK(announce_pause(2) == 150ms);
    CHECK(announce_pause(kAnnounceRounds - 1) == 350ms);
}

TEST_CASE("a transmit header is held against its frame and the features") {
    virtio_net_hdr plain{};
    virtio_net_hdr csum{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
    virtio_net_hdr tso = csum;
    tso.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    tso.hdr_len = 54;
    tso.gso_size = 1448;
    const auto verdict = [](virtio_net_hdr header, std::size_t size = kFrame, std::uint64_t features = kAll) {
        return check_transmit_header(header, size, features).ok();
    };
    const auto lacking = [](unsigned bit) { return kAll & ~feature(bit); };

    CHECK(verdict(plain));
    CHECK(verdict(csum));
    CHECK(verdict(tso));
    SECTION("the frame's size") {
        CHECK(verdict(plain, kEthernetHeader));
        CHECK_FALSE(verdict(plain, kEthernetHeader - 1));
        CHECK(verdict(plain, kFrameLimit));
        CHECK_FALSE(verdict(plain, kFrameLimit + 1));
    }
    SECTION("the checksum's place") {
        CHECK(verdict(csum, 52));
        CHECK_FALSE(verdict(csum, 51));
        csum.csum_start = 0xffff;
        csum.csum_offset = 0xffff;
        CHECK_FALSE(verdict(csum, kFrameLimit));
        csum.flags = 0; // then the fields mean nothing
        CHECK(verdict(csum));
    }
    SECTION("features that were not negotiated") {
        CHECK_FALSE(verdict(csum, kFrame, lacking(VIRTIO_NET_F_CSUM)));
        CHECK_FALSE(verdict(tso, kFrame, lacking(VIRTIO_NET_F_HOST_TSO4)));
        CHECK(verdict(tso, kFrame, lacking(VIRTIO_NET_F_HOST_TSO6)));
        tso.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
        CHECK_FALSE(verdict(tso, kFrame, lacking(VIRTIO_NET_F_HOST_TSO6)));
        tso.gso_type = VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN;
        CHECK_FALSE(verdict(tso, kFrame, lacking(VIRTIO_NET_F_HOST_ECN)));
        CHECK(verdict(tso));
        tso.gso_type = VIRTIO_NET_HDR_GSO_UDP;
        CHECK_FALSE(verdict(tso, kFrame, lacking(VIRTIO_NET_F_HOST_UFO)));
        CHECK(verdict(tso));
    }
    SECTION("segmentation that makes no sense") {
        auto no_csum = tso;
        no_csum.flags = 0;
        CHECK_FALSE(verdict(no_csum));
        auto no_size = tso;
        no_size.gso_size = 0;
        CHECK_FALSE(verdict(no_size));
        auto long_headers = tso;
        long_headers.hdr_len = kFrame + 1;
        CHECK_FALSE(verdict(long_headers));
        for (const std::uint8_t type : std::initializer_list<std::uint8_t>{2, 5, 0x7f, 0x80, 0x83}) {
            tso.gso_type = type;
            CHECK_FALSE(verdict(tso));
        }
    }
    SECTION("flags of the other direction are cleared") {
        csum.flags |= 0x0e;
        csum.num_buffers = 7;
        REQUIRE(check_transmit_header(csum, kFrame, kAll).ok());
        CHECK(csum.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
        CHECK(csum.num_buffers == 0);
    }
}

TEST_CASE("the receive filter") {
    NetState state = filtering_state();
    CHECK(wanted(state, kOwn));
    CHECK_FALSE(wanted(state, kOther));
    CHECK_FALSE(wanted(state, kGroup));
    CHECK(wanted(state, kEveryone));
    CHECK_FALSE(frame_wanted(state, bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 8})));

    SECTION("promiscuous mode passes all") {
        state.promisc = 1;
        state.nobcast = state.nouni = state.nomulti = 1;
        state.vlans.fill(std::byte{0});
        for (const auto& to : {kOwn, kOther, kGroup, kEveryone})
            CHECK(wanted(state, to, 7));
    }
    SECTION("modes") {
        state.allmulti = 1;
        CHECK(wanted(state, kGroup));
        state.nomulti = 1;
        CHECK_FALSE(wanted(state, kGroup));
        state.alluni = 1;
        CHECK(wanted(state, kOther));
        state.nouni = 1;
        CHECK_FALSE(wanted(state, kOwn));
        state.nobcast = 1;
        CHECK_FALSE(wanted(state, kEveryone));
    }
    SECTION("the table, and its overflow") {
        for (const auto& mac : {kOther, kGroup})
            append(state.mac_table_macs.bytes, mac);
        CHECK(wanted(state, kOther));
        CHECK(wanted(state, kGroup));
        CHECK_FALSE(wanted(state, {0x52, 0x54, 0, 9, 9, 8}));
        CHECK_FALSE(wanted(state, {0x01, 0, 0x5e, 1, 2, 4}));
        state.uni_overflow = 1;
        CHECK(wanted(state, {0x52, 0x54, 0, 9, 9, 8}));
        CHECK_FALSE(wanted(state, {0x01, 0, 0x5e, 1, 2, 4}));
        state.multi_overflow = 1;
        CHECK(wanted(state, {0x01, 0, 0x5e, 1, 2, 4}));
    }
    SECTION("VLANs") {
        reset_vlan_filter(state, feature(VIRTIO_NET_F_CTRL_VLAN));
        CHECK(wanted(state, kOwn));
        CHECK_FALSE(wanted(state, kOwn, 1000));
        state.vlans[1000 / 8] |= std::byte{1} << (1000 % 8);
        CHECK(wanted(state, kOwn, 1000));
        CHECK(wanted(state, kOwn, 1000 | 0xe000)); // priority bits
        CHECK_FALSE(wanted(state, kOther, 1000));
        CHECK_FALSE(wanted(state, kOwn, 1001));
        auto cut = bytes({});
        append(cut, kOwn);
        append(cut, kOther);
        cut.push_back(std::byte{0x81});
        cut.push_back(std::byte{0});
        CHECK_FALSE(frame_wanted(state, cut));
    }
}

TEST_CASE("control commands with the right length and feature, and with neither") {
    struct Row {
        std::vector<std::byte> command;
        unsigned feature_bit;
    };
    const Row rows[] = {
        {bytes({0, 0, 1}), VIRTIO_NET_F_CTRL_RX},
        {bytes({0, 1, 1}), VIRTIO_NET_F_CTRL_RX},
        {bytes({0, 2, 1}), VIRTIO_NET_F_CTRL_RX_EXTRA},
        {bytes({0, 3, 1}), VIRTIO_NET_F_CTRL_RX_EXTRA},
        {bytes({0, 4, 1}), VIRTIO_NET_F_CTRL_RX_EXTRA},
        {bytes({0, 5, 1}), VIRTIO_NET_F_CTRL_RX_EXTRA},
        {table_command(2, 3), VIRTIO_NET_F_CTRL_RX},
        {table_command(0, 0), VIRTIO_NET_F_CTRL_RX},
        {bytes({1, 1, 0x52, 0x54, 0, 7, 7, 7}), VIRTIO_NET_F_CTRL_MAC_ADDR},
        {bytes({2, 0, 0xff, 0x0f}), VIRTIO_NET_F_CTRL_VLAN},
        {bytes({2, 1, 0, 0}), VIRTIO_NET_F_CTRL_VLAN},
        {bytes({3, 0}), VIRTIO_NET_F_GUEST_ANNOUNCE},
        {bytes({5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0}), VIRTIO_NET_F_CTRL_GUEST_OFFLOADS},
    };
    NetState start = initial_net_state(kOwn, true);
    start.status |= VIRTIO_NET_S_ANNOUNCE;
    for (const Row& row : rows) {
        INFO("command " << static_cast<int>(row.command[0]) << "." << static_cast<int>(row.command[1]));
        const auto refused = [&](std::span<const std::byte> command, std::uint64_t features) {
            NetState state = start;
            return handle_control(state, features, command) == VIRTIO_NET_ERR && state == start;
        };
        NetState state = start;
        CHECK(handle_control(state, kAll, row.command) == VIRTIO_NET_OK);
        CHECK(refused(row.command, kAll & ~feature(row.feature_bit)));
        for (std::size_t size = 0; size < row.command.size(); ++size)
            CHECK(refused(std::span{row.command}.first(size), kAll));
        auto longer = row.command;
        longer.push_back(std::byte{0});
        CHECK(refused(longer, kAll));
        auto unknown = row.command;
        unknown[1] = std::byte{0x77};
        CHECK(refused(unknown, kAll));
        unknown[0] = std::byte{0x77};
        CHECK(refused(unknown, kAll));
    }
}

TEST_CASE("control commands have their effect") {
    NetState state = initial_net_state(kOwn, true);
    const auto run = [&](const std::vector<std::byte>& command, std::uint64_t features = kAll) {
        return handle_control(state, features, command);
    };
    SECTION("modes are kept as truth values") {
        CHECK(run(bytes({0, 0, 0})) == VIRTIO_NET_OK);
        CHECK(state.promisc == 0);
        CHECK(run(bytes({0, 5, 0x80})) == VIRTIO_NET_OK);
        CHECK(state.nobcast == 1);
    }
    SECTION("the address table") {
        CHECK(run(table_command(2, 3)) == VIRTIO_NET_OK);
        CHECK(state.mac_table_in_use == 5);
        CHECK(state.mac_table_macs.bytes.size() == 30);
        CHECK(run(table_command(32, 32)) == VIRTIO_NET_OK);
        CHECK(state.mac_table_in_use == 64);
        CHECK((state.uni_overflow == 0 && state.multi_overflow == 0));
        CHECK(run(table_command(32, 33)) == VIRTIO_NET_OK);
        CHECK(state.mac_table_in_use == 32);
        CHECK((state.uni_overflow == 0 && state.multi_overflow == 1));
        CHECK(run(table_command(65, 3)) == VIRTIO_NET_OK);
        CHECK(state.mac_table_in_use == 3);
        CHECK((state.uni_overflow == 1 && state.multi_overflow == 0));
        CHECK(run(table_command(0, 0)) == VIRTIO_NET_OK);
        CHECK((state.mac_table_in_use == 0 && state.uni_overflow == 0));
    }
    SECTION("a count that promises more than there is") {
        const auto before = state;
        auto command = table_command(2, 3);
        command[5] = std::byte{0xff}; // 0xff000002 addresses
        CHECK(run(command) == VIRTIO_NET_ERR);
        CHECK(run(bytes({1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})) == VIRTIO_NET_ERR);
        CHECK(state == before);
    }
    SECTION("the address") {
        CHECK(run(bytes({1, 1, 0x52, 0x54, 0, 7, 7, 7})) == VIRTIO_NET_OK);
        CHECK(state.mac == MacAddress{0x52, 0x54, 0, 7, 7, 7});
        CHECK(run(bytes({1, 1, 0x01, 0, 0x5e, 7, 7, 7})) == VIRTIO_NET_ERR);
    }
    SECTION("VLANs") {
        reset_vlan_filter(state, kAll);
        CHECK(run(bytes({2, 0, 0xff, 0x0f})) == VIRTIO_NET_OK);
        CHECK(state.vlans[511] == std::byte{0x80});
        CHECK(run(bytes({2, 1, 0xff, 0x0f})) == VIRTIO_NET_OK);
        CHECK(state.vlans[511] == std::byte{0});
        CHECK(run(bytes({2, 0, 0x00, 0x10})) == VIRTIO_NET_ERR);
    }
    SECTION("an announcement is acknowledged once") {
        CHECK(run(bytes({3, 0})) == VIRTIO_NET_ERR);
        state.status |= VIRTIO_NET_S_ANNOUNCE;
        CHECK(run(bytes({3, 0})) == VIRTIO_NET_OK);
        CHECK(state.status == VIRTIO_NET_S_LINK_UP);
        CHECK(run(bytes({3, 0})) == VIRTIO_NET_ERR);
    }
    SECTION("offloads are a part of what was negotiated") {
        const auto features = feature(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | feature(VIRTIO_NET_F_GUEST_CSUM);
        CHECK(run(bytes({5, 0, 0x02, 0, 0, 0, 0, 0, 0, 0}), features) == VIRTIO_NET_OK);
        CHECK(state.curr_guest_offloads == 2);
        CHECK(run(bytes({5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0}), features) == VIRTIO_NET_ERR);
        CHECK(run(bytes({5, 0, 0x01, 0, 0, 0, 0, 0, 0, 0}), kAll) == VIRTIO_NET_ERR);
        CHECK(run(bytes({5, 0, 0, 0, 0, 0, 0, 0, 0, 0}), features) == VIRTIO_NET_OK);
        CHECK(state.curr_guest_offloads == 0);
    }
    SECTION("a command longer than any") {
        std::vector<std::byte> command(kControlCommandLimit + 1);
        command[0] = std::byte{1};
        CHECK(run(command) == VIRTIO_NET_ERR);
    }
}

} // namespace net_test
