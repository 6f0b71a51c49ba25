// SPDX-License-Identifier: Apache-2.0
//
// The network device between a fake driver and a socket: frames sent, the control queue, stop and
// start, what a bad driver gets. Received frames are in net_rx_test.cc.
#include "devices/virtio/net_fakes.h"
#include "devices/virtio/net_mac.h"

#include <catch2/catch.hpp>

namespace net_device_test {

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

TEST_CASE("identity and configuration space") {
    NetRig rig;
    const DeviceTraits& traits = rig.net->traits();
    CHECK(traits.device_id == 1);
    CHECK(traits.record == "virtio-net");
    CHECK(traits.state_version == 11);
    CHECK(traits.queue_sizes == std::vector<std::uint16_t>{256, 256, 64});
    CHECK(traits.config_length == 8);
    CHECK(traits.pci_class == 0x020000);
    // QEMU's bits for a tap, without those of the core and the deprecated bit 6.
    CHECK(traits.features == 0x00bfffa7);
    std::array<std::byte, 8> config{};
    rig.net->read_config(0, config);
    CHECK(std::memcmp(config.data(), kTestMac.data(), 6) == 0);
    CHECK(load_le<std::uint16_t>(std::span{config}.subspan(6)) == VIRTIO_NET_S_LINK_UP);
    rig.net->write_config(0, config);

    SECTION("without UDP fragmentation") {
        NetRig other{kUsualFeatures, {.mac = kTestMac}, false};
        CHECK(other.net->traits().features == (traits.features & ~(1u << 10 | 1u << 14)));
    }
    SECTION("with an MTU") {
        NetRig other{kUsualFeatures, {.mac = kTestMac, .mtu = 9000}};
        CHECK(other.net->traits().features == (traits.features | 1u << 3));
        REQUIRE(other.net->traits().config_length == 12);
        std::array<std::byte, 2> mtu{};
        other.net->read_config(10, mtu);
        CHECK(load_le<std::uint16_t>(mtu) == 9000);
    }
    SECTION("with an MTU that cannot be") {
        Wire wire;
        CHECK_FALSE(Net::create({.mtu = 67}, std::make_unique<SocketBackend>(wire), *rig.loop).ok());
        CHECK(Net::create({.mtu = 68}, std::make_unique<SocketBackend>(wire), *rig.loop).ok());
    }
    SECTION("an address that follows from what tells it from all others") {
        NetRig other{kUsualFeatures, {.identity = "tap7 of here"}};
        CHECK(other.net->mac() == default_mac("tap7 of here"));
    }
    SECTION("the address of a guest that comes, unless it was given one") {
        constexpr MacAddress kGuests{2, 3, 4, 5, 6, 7};
        NetRig other{kUsualFeatures, {.identity = "tap7"}};
        CHECK(other.net->adopts_mac());
        other.net->adopt_mac(kGuests);
        CHECK(other.net->mac() == kGuests);
        other.net->reset();
        CHECK(other.net->mac() == kGuests);
        CHECK(other.net->own_mac() == kGuests);
        CHECK_FALSE(rig.net->adopts_mac());
        rig.net->adopt_mac(kGuests);
        CHECK(rig.net->own_mac() == kTestMac);
    }
}

TEST_CASE("a frame is sent as the driver wrote it") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    const auto frame = frame_to({1, 2, 3, 4, 5, 6}, 1000);
    SECTION("in one piece") {
        transmit(rig, frame);
    }
    SECTION("in pieces that do not keep to the header") {
        put(rig, kBuffers, frame);
        rig.tx()
            .chain()
            .readable(kBuffers, 5)
            .readable(Gpa{kBuffers.value + 5}, 9)
            .readable(Gpa{kBuffers.value + 14}, 998)
            .offer();
        rig.net->queue_notified(kNetTransmitQueue);
    }
    CHECK(rig.wire.take() == frame);
    CHECK(rig.tx().take_used()->len == 0);
    CHECK(rig.host.used[1] == 1);
    CHECK(rig.wire.header_size == 12);
}

TEST_CASE("a frame with a bad header is dropped and the next one sent") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    auto bad = frame_to({2, 2, 3, 4, 5, 6}, 100);
    bad[0] = std::byte{VIRTIO_NET_HDR_F_NEEDS_CSUM};
    store_le(std::span{bad}.subspan(6), std::uint16_t{99});
    transmit(rig, bad);
    transmit(rig, Bytes(12)); // a header and nothing behind it
    transmit(rig, Bytes(kNetHeaderFull + kFrameLimit + 1), Gpa{0x200000});
    const auto good = frame_to({2, 2, 3, 4, 5, 6}, 100);
    transmit(rig, good);
    CHECK(rig.wire.take() == good);
    CHECK(rig.wire.take().empty());
    CHECK(rig.tx().used_index() == 4);
    CHECK(rig.host.broken.empty());
}

TEST_CASE("a full backend keeps the frame in the ring") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    rig.wire.full = true;
    const auto frame = frame_to({2, 2, 3, 4, 5, 6}, 100);
    transmit(rig, frame);
    CHECK(rig.tx().used_index() == 0);
    CHECK(rig.queues[1]->in_flight() == 0);
    SECTION("until it is writable") {
        rig.wire.full = false;
        REQUIRE(rig.turns_until([&] { return rig.tx().used_index() == 1; }));
        CHECK(rig.wire.take() == frame);
    }
    SECTION("over a stop") {
        rig.stop();
        CHECK(rig.last_avail[1] == 0);
        rig.wire.full = false;
        rig.start();
        CHECK(rig.wire.take() == frame);
    }
}

TEST_CASE("one turn sends a bounded number of frames") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    const auto frame = frame_to({2, 2, 3, 4, 5, 6}, 60);
    put(rig, kBuffers, frame);
    for (unsigned i = 0; i < 200; ++i)
        rig.tx().chain().readable(kBuffers, 72).offer();
    rig.net->queue_notified(kNetTransmitQueue);
    CHECK(rig.tx().used_index() == kFramesPerTurn);
    REQUIRE(rig.turns_until([&] { return rig.tx().used_index() == 200; }));
}

TEST_CASE("nothing leaves and nothing is taken while the device is stopped") {
    NetRig rig;
    rig.negotiate();
    post_buffers(rig, 4, 2048);
    const auto frame = frame_to(kTestMac, 100);
    rig.wire.send(frame);
    transmit(rig, frame);
    rig.net->queue_notified(kNetReceiveQueue);
    CHECK(rig.wire.take().empty());
    CHECK(rig.rx().used_index() == 0);
    rig.start();
    CHECK(rig.wire.take() == frame);
    CHECK(rig.rx().used_index() == 1);

    rig.stop();
    must(rig.net->stop());
    rig.wire.send(frame);
    transmit(rig, frame);
    (void)rig.turns_until([&, turns = 0]() mutable { return ++turns > 20; });
    CHECK(rig.wire.take().empty());
    CHECK(rig.rx().used_index() == 1);
    rig.start();
    CHECK(rig.wire.take() == frame);
    CHECK(rig.rx().used_index() == 2);
}

TEST_CASE("work that was put off does not outlive a stop") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    put(rig, kBuffers, frame_to({2, 2, 3, 4, 5, 6}, 60));
    for (unsigned i = 0; i < 100; ++i)
        rig.tx().chain().readable(kBuffers, 72).offer();
    rig.net->queue_notified(kNetTransmitQueue);
    rig.stop();
    (void)rig.turns_until([&, turns = 0]() mutable { return ++turns > 20; });
    CHECK(rig.tx().used_index() == kFramesPerTurn);
}

TEST_CASE("control commands reach the device") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    CHECK(rig.wire.offloads == (kUsualFeatures & kGuestOffloads));
    CHECK(command(rig, of({1, 1, 0x52, 0x54, 0, 7, 7, 7})) == VIRTIO_NET_OK);
    CHECK(rig.net->mac() == MacAddress{0x52, 0x54, 0, 7, 7, 7});
    CHECK(command(rig, of({0, 0})) == VIRTIO_NET_ERR);
    CHECK(command(rig, of({5, 0, 2, 0, 0, 0, 0, 0, 0, 0})) == VIRTIO_NET_OK);
    CHECK(rig.wire.offloads == 2);
    rig.wire.refuse_offloads = true;
    CHECK(command(rig, of({5, 0, 0, 0, 0, 0, 0, 0, 0, 0})) == VIRTIO_NET_ERR);
    rig.wire.refuse_offloads = false;
    rig.stop();
    rig.start();
    CHECK(rig.wire.offloads == 2);
    CHECK(command(rig, Bytes(kNetHeaderFull + (64 << 10), std::byte{1})) == VIRTIO_NET_ERR);
    CHECK(rig.host.broken.empty());
}

TEST_CASE("a driver that breaks the rules gets a broken device, which touches nothing more") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    std::string expected;
    SECTION("a control command without room for the answer") {
        rig.ctrl().chain().readable(kBuffers, 3).offer();
        rig.net->queue_notified(kNetControlQueue);
        expected = "control command of 3 bytes with 0 bytes for the answer";
    }
    SECTION("a control command of one byte") {
        rig.ctrl().chain().readable(kBuffers, 1).writable(kBuffers, 1).offer();
        rig.net->queue_notified(kNetControlQueue);
        expected = "control command of 1 bytes";
    }
    SECTION("a transmit buffer shorter than its header") {
        transmit(rig, Bytes(11));
        expected = "transmit buffer of 11 bytes";
    }
    SECTION("a receive buffer that cannot be written") {
        rig.rx().chain().readable(kBuffers, 2048).offer();
        rig.net->queue_notified(kNetReceiveQueue);
        expected = "receive buffer with nothing to write to";
    }
    SECTION("a buffer outside RAM") {
        rig.tx().chain().readable(Gpa{0x10000000}, 100).offer();
        rig.net->queue_notified(kNetTransmitQueue);
        expected = "not guest RAM";
    }
    REQUIRE(rig.host.broken.size() == 1);
    CHECK_THAT(rig.host.broken[0], Contains(expected));
    const auto frame = frame_to(kTestMac, 100);
    transmit(rig, frame, Gpa{0x140000});
    rig.wire.send(frame);
    (void)rig.turns_until([&, turns = 0]() mutable { return ++turns > 20; });
    CHECK(rig.wire.take().empty());
    CHECK(rig.host.broken.size() == 1);
}

TEST_CASE("frames sent before the fault are still reported as used") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    const auto frame = frame_to(kTestMac, 100);
    rig.tx().chain().readable(kBuffers, put(rig, kBuffers, frame)).offer();
    rig.tx().chain().readable(kBuffers, 3).offer();
    rig.net->queue_notified(kNetTransmitQueue);
    CHECK(rig.wire.take() == frame);
    CHECK(rig.tx().used_index() == 1);
    CHECK(rig.host.broken.size() == 1);
}

TEST_CASE("queues that the driver does not use are left alone") {
    NetRig rig;
    rig.negotiate();
    const std::array<SplitQueue*, 3> none{};
    must(rig.net->start({.features = rig.features, .queues = none, .host = &rig.host}));
    rig.wire.send(frame_to(kTestMac, 100));
    for (std::uint16_t queue = 0; queue < 4; ++queue)
        rig.net->queue_notified(queue);
    (void)rig.turns_until([&, turns = 0]() mutable { return ++turns > 5; });
    CHECK(rig.host.broken.empty());
}

TEST_CASE("the link") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    post_buffers(rig, 4, 2048);
    rig.net->set_link(false);
    CHECK(rig.host.config_changes == 1);
    const auto frame = frame_to(kTestMac, 100);
    transmit(rig, frame, Gpa{0x140000});
    rig.wire.send(frame);
    rig.net->queue_notified(kNetReceiveQueue);
    CHECK(rig.tx().used_index() == 1);
    CHECK(rig.wire.take().empty());
    CHECK(rig.rx().used_index() == 0);
    std::array<std::byte, 2> status{};
    rig.net->read_config(6, status);
    CHECK(load_le<std::uint16_t>(status) == 0);

    rig.net->set_link(true);
    rig.net->set_link(true);
    CHECK(rig.host.config_changes == 2);
    transmit(rig, frame, Gpa{0x140000});
    CHECK(rig.wire.take() == frame);
}

TEST_CASE("a reset undoes what the driver did") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    REQUIRE(command(rig, of({1, 1, 0x52, 0x54, 0, 7, 7, 7})) == VIRTIO_NET_OK);
    REQUIRE(command(rig, of({0, 0, 0})) == VIRTIO_NET_OK);
    rig.stop();
    rig.net->reset();
    CHECK(rig.net->mac() == kTestMac);
    StateWriter after{"virtio-net", 11}, fresh{"virtio-net", 11};
    must(rig.net->save_device(after, 0));
    NetRig other;
    must(other.net->save_device(fresh, 0));
    CHECK(std::equal(after.bytes().begin(), after.bytes().end(), fresh.bytes().begin(), fresh.bytes().end()));
}

} // namespace net_device_test
