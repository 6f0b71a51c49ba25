// SPDX-License-Identifier: Apache-2.0
//
// The network device's saved state, and its arrival after a migration.
#include "devices/virtio/net_fakes.h"

#include <catch2/catch.hpp>

namespace net_state_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

// Offsets in the record while the address table is empty.
constexpr std::size_t kMergeable = 10, kStatus = 14, kInUse = 18, kVlans = 22, kVnetHdr = 534, kHasUfo = 544,
                      kOffloads = 545, kLength = 553;

Bytes saved(Net& net, std::uint64_t features) {
    StateWriter writer{"virtio-net", 11};
    must(net.save_device(writer, static_cast<std::uint32_t>(features)));
    return {writer.bytes().begin(), writer.bytes().end()};
}

// As the core does it, up to the point where nothing has changed yet.
Status parse(Net& net, std::span<const std::byte> bytes, std::uint64_t features) {
    ByteReader in{bytes};
    StateReader reader{in, "virtio-net"};
    TRY(net.load_device(reader, static_cast<std::uint32_t>(features)));
    if (!in.at_end())
        return corrupt("{} bytes left", in.remaining());
    return net.check_loaded(features);
}

void load(Net& net, std::span<const std::byte> bytes, std::uint64_t features) {
    must(parse(net, bytes, features));
    net.features_negotiated(features);
    must(net.commit_load(features));
}

std::string refusal(Net& net, std::span<const std::byte> bytes, std::uint64_t features = kUsualFeatures) {
    const auto status = parse(net, bytes, features);
    REQUIRE_FALSE(status.ok());
    net.discard_load();
    return status.error().text;
}

// A driver has set everything that it can set.
Bytes state_of_busy_device() {
    NetRig rig;
    rig.negotiate();
    rig.start();
    CHECK(command(rig, of({1, 1, 0x52, 0x54, 0, 7, 7, 7})) == VIRTIO_NET_OK);
    CHECK(command(rig, of({1, 0, 1, 0, 0, 0, 0x52, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 2})) ==
          VIRTIO_NET_OK);
    CHECK(command(rig, of({2, 0, 0xe8, 3})) == VIRTIO_NET_OK);
    CHECK(command(rig, of({5, 0, 0x82, 0, 0, 0, 0, 0, 0, 0})) == VIRTIO_NET_OK);
    CHECK(command(rig, of({0, 0, 0})) == VIRTIO_NET_OK);
    for (unsigned mode = 1; mode <= 5; ++mode)
        CHECK(command(rig, of({0, mode, 1})) == VIRTIO_NET_OK);
    rig.stop();
    return saved(*rig.net, rig.features);
}

bool is_rarp(const Bytes& sent, const MacAddress& mac) {
    const auto frame = rarp_frame(mac);
    return sent.size() == kNetHeaderFull + frame.size() &&
           std::all_of(sent.begin(), sent.begin() + kNetHeaderFull,
                       [](std::byte b) { return b == std::byte{0}; }) &&
           std::equal(frame.begin(), frame.end(), sent.begin() + kNetHeaderFull);
}

} // namespace

TEST_CASE("without an address of its own a device keeps that of a guest from a file, also over a reset") {
    NetRig rig; // has kTestMac
    const auto bytes = saved(*rig.net, kUsualFeatures);
    NetRig other{kUsualFeatures, {.identity = "elsewhere"}};
    REQUIRE(other.net->mac() != kTestMac);
    load(*other.net, bytes, kUsualFeatures);
    CHECK(other.net->mac() == kTestMac);
    other.net->reset();
    CHECK(other.net->mac() == kTestMac);
    // A migration tells what the device's own is: the driver may have set another.
    NetRig third{kUsualFeatures, {.identity = "elsewhere"}};
    third.net->adopt_mac({2, 9, 9, 9, 9, 9});
    load(*third.net, bytes, kUsualFeatures);
    CHECK(third.net->mac() == kTestMac);
    third.net->reset();
    CHECK(third.net->mac() == MacAddress{2, 9, 9, 9, 9, 9});
}

TEST_CASE("the record has QEMU's layout") {
    const auto bytes = state_of_busy_device();
    constexpr std::size_t kTable = 12;
    REQUIRE(bytes.size() == kLength + kTable);
    const auto at = [&](std::size_t offset) { return static_cast<unsigned>(bytes[offset]); };
    CHECK(at(0) == 0x52);
    CHECK(at(5) == 7);
    CHECK(load_be<std::uint32_t>(std::span{bytes}.subspan(6)) == 0);
    CHECK(load_be<std::uint32_t>(std::span{bytes}.subspan(kMergeable)) == 1);
    CHECK(load_be<std::uint16_t>(std::span{bytes}.subspan(kStatus)) == 1);
    CHECK(at(16) == 0); // promisc
    CHECK(at(17) == 1); // allmulti
    CHECK(load_be<std::uint32_t>(std::span{bytes}.subspan(kInUse)) == 2);
    CHECK(at(kVlans) == 0x52);
    CHECK(at(kVlans + 6) == 1);
    CHECK(at(kVlans + kTable + 125) == 1); // VLAN 1000
    CHECK(load_be<std::uint32_t>(std::span{bytes}.subspan(kVnetHdr + kTable)) == 1);
    const unsigned modes[] = {0, 0, 1,
                              1, 1, 1}; // multi_overflow, uni_overflow, alluni, nomulti, nouni, nobcast
    for (std::size_t i = 0; i < 6; ++i)
        CHECK(at(kVnetHdr + kTable + 4 + i) == modes[i]);
    CHECK(at(kHasUfo + kTable) == 1);
    CHECK(load_be<std::uint64_t>(std::span{bytes}.subspan(kOffloads + kTable)) == 0x82);
}

TEST_CASE("save, load, save gives equal bytes") {
    const auto bytes = state_of_busy_device();
    NetRig other;
    load(*other.net, bytes, kUsualFeatures);
    CHECK(saved(*other.net, kUsualFeatures) == bytes);
    CHECK(other.net->mac() == MacAddress{0x52, 0x54, 0, 7, 7, 7});
    other.start();
    CHECK(other.wire.offloads == 0x82);
}

TEST_CASE("offloads travel only when the low feature word has their bit") {
    constexpr auto kFeatures = kUsualFeatures & ~feature(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
    NetRig rig{kFeatures};
    rig.negotiate();
    const auto bytes = saved(*rig.net, kFeatures);
    CHECK(bytes.size() == kOffloads);
    NetRig other{kFeatures};
    load(*other.net, bytes, kFeatures);
    other.start();
    CHECK(other.wire.offloads == (kFeatures & kGuestOffloads));
}

TEST_CASE("a driver in the middle of its negotiation") {
    NetRig rig;
    const auto bytes = saved(*rig.net, kUsualFeatures); // written, FEATURES_OK is not set
    REQUIRE(bytes.size() == kLength);
    CHECK(load_be<std::uint64_t>(std::span{bytes}.subspan(kOffloads)) == (kUsualFeatures & kGuestOffloads));
    CHECK(load_be<std::uint32_t>(std::span{bytes}.subspan(kMergeable)) == 1);
    NetRig other;
    must(parse(*other.net, bytes, kUsualFeatures));
    must(other.net->commit_load(kUsualFeatures));
    other.negotiate();
    other.start();
    CHECK(other.wire.offloads == (kUsualFeatures & kGuestOffloads));
}

TEST_CASE("VLAN filters survive a migration") {
    const auto bytes = state_of_busy_device();
    NetRig other;
    load(*other.net, bytes, kUsualFeatures);
    other.start();
    CHECK(command(other, of({0, 3, 0})) == VIRTIO_NET_OK); // unicast only as the table says
    CHECK(command(other, of({0, 4, 0})) == VIRTIO_NET_OK);
    CHECK(command(other, of({0, 2, 0})) == VIRTIO_NET_OK);
    for (unsigned i = 0; i < 8; ++i)
        other.rx().chain().writable(Gpa{kBuffers.value + 2048 * i}, 2048).offer();
    for (const unsigned vid : {1000, 1001}) {
        auto frame = frame_to({0x52, 0x54, 0, 7, 7, 7}, 100);
        frame[24] = std::byte{0x81};
        frame[26] = static_cast<std::byte>(vid >> 8);
        frame[27] = static_cast<std::byte>(vid);
        other.wire.send(frame);
    }
    other.net->queue_notified(kNetReceiveQueue);
    CHECK(other.rx().used_index() == 1);
}

TEST_CASE("every truncation of the record is refused") {
    const auto bytes = state_of_busy_device();
    NetRig other;
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        const auto status = parse(*other.net, std::span{bytes}.first(length), kUsualFeatures);
        REQUIRE_FALSE(status.ok());
        other.net->discard_load();
    }
    CHECK(other.net->mac() == kTestMac);
}

TEST_CASE("a hostile record is refused, with the field's name") {
    NetRig source;
    source.negotiate();
    auto bytes = saved(*source.net, kUsualFeatures);
    NetRig rig;
    const auto set32 = [&](std::size_t at, std::uint32_t value) {
        store_be(std::span{bytes}.subspan(at), value);
    };
    SECTION("an address table larger than any, also as a negative number (CVE-2013-4149, CVE-2013-4148)") {
        for (const std::uint32_t in_use : {4097u, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0x2aaaaaabu}) {
            set32(kInUse, in_use);
            CHECK_THAT(refusal(*rig.net, bytes), Contains("mac_table.macs") && Contains("at most"));
        }
    }
    SECTION("an address table that is not there") {
        set32(kInUse, 64);
        (void)refusal(*rig.net, bytes);
    }
    SECTION("an unknown status") {
        bytes[kStatus + 1] = std::byte{4};
        CHECK_THAT(refusal(*rig.net, bytes), Contains("status"));
    }
    SECTION("mergeable buffers against the features") {
        set32(kMergeable, 0);
        CHECK_THAT(refusal(*rig.net, bytes), Contains("mergeable_rx_bufs"));
        set32(kMergeable, 1);
        CHECK_THAT(refusal(*rig.net, bytes, kUsualFeatures & ~feature(VIRTIO_NET_F_MRG_RXBUF)),
                   Contains("mergeable_rx_bufs"));
    }
    SECTION("offloads beyond the features") {
        store_be(std::span{bytes}.subspan(kOffloads), std::uint64_t{1} << 40);
        CHECK_THAT(refusal(*rig.net, bytes), Contains("curr_guest_offloads"));
    }
    SECTION("a subsection that nobody knows") {
        const std::string_view name = "virtio-net-device/rss";
        bytes.push_back(std::byte{5});
        bytes.push_back(static_cast<std::byte>(name.size()));
        for (const char c : name)
            bytes.push_back(static_cast<std::byte>(c));
        bytes.resize(bytes.size() + 4);
        CHECK_THAT(refusal(*rig.net, bytes), Contains("virtio-net-device/rss"));
    }
    SECTION("UDP fragmentation that the tap here lacks") {
        NetRig plain{kUsualFeatures, {.mac = kTestMac}, false};
        CHECK_THAT(refusal(*plain.net, bytes), Contains("has_ufo"));
    }
    SECTION("another MTU") {
        NetRig small{kUsualFeatures | feature(VIRTIO_NET_F_MTU), {.mac = kTestMac, .mtu = 1500}};
        Bytes config(12);
        store_le(std::span{config}.subspan(10), std::uint16_t{9000});
        must(small.net->load_config(config));
        CHECK_THAT(refusal(*small.net, bytes, small.features), Contains("MTU") && Contains("9000"));
        must(small.net->load_config(Bytes(12))); // never read
        must(parse(*small.net, bytes, small.features));
    }
    SECTION("and the record as it was is taken") {
        must(parse(*rig.net, bytes, kUsualFeatures));
    }
}

TEST_CASE("an address table longer than ours is emptied, and all addresses pass") {
    NetRig source;
    source.negotiate();
    source.start();
    CHECK(command(source, of({0, 0, 0})) == VIRTIO_NET_OK);
    source.stop();
    auto bytes = saved(*source.net, kUsualFeatures);
    store_be(std::span{bytes}.subspan(kInUse), std::uint32_t{65});
    bytes.insert(bytes.begin() + kVlans, 65 * 6, std::byte{0x52});

    NetRig other;
    load(*other.net, bytes, kUsualFeatures);
    const auto again = saved(*other.net, kUsualFeatures);
    CHECK(load_be<std::uint32_t>(std::span{again}.subspan(kInUse)) == 0);
    CHECK(again[kVnetHdr + 4] == std::byte{1});
    CHECK(again[kVnetHdr + 5] == std::byte{1});
    other.rx().chain().writable(kBuffers, 2048).offer();
    other.start();
    other.wire.send(frame_to({0x52, 9, 9, 9, 9, 9}, 100));
    other.net->queue_notified(kNetReceiveQueue);
    CHECK(other.rx().used_index() == 1);
}

TEST_CASE("a destination is silent until it owns the guest, then announces it") {
    NetRig source;
    source.negotiate();
    const auto bytes = saved(*source.net, kUsualFeatures);
    NetRig other{kUsualFeatures, {.mac = MacAddress{2, 0, 0, 0, 0, 2}}};
    for (unsigned i = 0; i < 4; ++i)
        other.rx().chain().writable(Gpa{kBuffers.value + 2048 * i}, 2048).offer();
    other.wire.send(frame_to(kTestMac, 100, 1)); // meant for the source
    load(*other.net, bytes, kUsualFeatures);
    (void)other.turns_until([&, turns = 0]() mutable { return ++turns > 20; });
    CHECK(other.wire.take().empty());
    other.start();
    (void)other.turns_until([&, turns = 0]() mutable { return ++turns > 20; });
    CHECK(other.wire.take().empty());
    CHECK(other.rx().used_index() == 0);

    other.wire.send(frame_to(kTestMac, 100, 2)); // and this one for the destination
    other.net->queue_notified(kNetReceiveQueue);
    CHECK(other.rx().used_index() == 1);
    CHECK(other.bytes_at(kBuffers, 112)[kNetHeaderFull + 20] ==
          frame_to(kTestMac, 100, 2)[kNetHeaderFull + 20]);

    other.net->arrived();
    CHECK(is_rarp(other.wire.take(), kTestMac));
    CHECK(other.host.config_changes == 1);
    std::array<std::byte, 2> status{};
    other.net->read_config(6, status);
    CHECK(load_le<std::uint16_t>(status) == (VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE));
    CHECK(command(other, of({3, 0})) == VIRTIO_NET_OK);
    other.net->read_config(6, status);
    CHECK(load_le<std::uint16_t>(status) == VIRTIO_NET_S_LINK_UP);

    unsigned rounds = 1;
    REQUIRE(other.turns_until([&] {
        for (auto frame = other.wire.take(); !frame.empty(); frame = other.wire.take())
            rounds += is_rarp(frame, kTestMac) ? 1 : 0;
        return rounds == kAnnounceRounds;
    }));
    CHECK(other.host.config_changes == kAnnounceRounds);
}

TEST_CASE("announcing waits for the device to run, and stops with it") {
    const auto bytes = state_of_busy_device();
    NetRig other;
    load(*other.net, bytes, kUsualFeatures);
    other.net->arrived();
    CHECK(other.wire.take().empty());
    other.start();
    CHECK_FALSE(other.wire.take().empty());
    other.stop();
    (void)other.turns_until([&, turns = 0]() mutable { return ++turns > 300; });
    CHECK(other.wire.take().empty());
    other.start(); // and all rounds that were left come afterwards
    unsigned rounds = 1;
    REQUIRE(other.turns_until([&] {
        rounds += other.wire.take().empty() ? 0 : 1;
        return rounds == kAnnounceRounds;
    }));
    // A reset ends one that goes on and one that is due.
    const bool due = GENERATE(false, true);
    if (!due) {
        other.net->arrived();
        CHECK_FALSE(other.wire.take().empty());
    }
    other.stop();
    if (due)
        other.net->arrived();
    other.net->reset();
    other.negotiate();
    other.last_avail = {};
    for (auto& driver : other.drivers)
        driver.start_at(0);
    other.start();
    (void)other.turns_until([&, turns = 0]() mutable { return ++turns > 200; });
    CHECK(other.wire.take().empty());
}

TEST_CASE("a guest without GUEST_ANNOUNCE is announced by us alone") {
    constexpr auto kFeatures = kUsualFeatures & ~feature(VIRTIO_NET_F_GUEST_ANNOUNCE);
    NetRig rig{kFeatures};
    rig.negotiate();
    rig.start();
    rig.net->arrived();
    CHECK(is_rarp(rig.wire.take(), kTestMac));
    CHECK(rig.host.config_changes == 0);
}

} // namespace net_state_test
