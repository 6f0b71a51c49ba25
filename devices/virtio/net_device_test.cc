// SPDX-License-Identifier: Apache-2.0
//
// The network device between a fake driver and a socket: frames both ways, the control queue, stop and start,
// what a bad driver gets.
#include "devices/virtio/net_fakes.h"
#include "devices/virtio/net_mac.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::virtio;
using Catch::Matchers::Contains;

namespace {

// Posts `count` receive buffers of `size` bytes, one after the other from `at`.
void post_buffers(NetRig& rig, unsigned count, std::uint32_t size, Gpa at = kBuffers) {
    for (unsigned i = 0; i < count; ++i)
        rig.rx().chain().writable(Gpa{at.value + std::uint64_t{i} * size}, size).offer();
}

unsigned put(NetRig& rig, Gpa at, std::span<const std::byte> bytes) {
    must(rig.memory->write(at, bytes));
    return static_cast<unsigned>(bytes.size());
}

// Sends a frame from the driver in one piece.
void transmit(NetRig& rig, const Bytes& frame, Gpa at = kBuffers) {
    rig.tx().chain().readable(at, put(rig, at, frame)).offer();
    rig.net->queue_notified(kNetTransmitQueue);
}

// The status byte, or nothing when there was no answer.
std::optional<int> command(NetRig& rig, const Bytes& bytes) {
    const Gpa answer{0x90000};
    must(rig.memory->write(answer, std::uint8_t{0xee}));
    rig.ctrl().chain().readable(Gpa{0x80000}, put(rig, Gpa{0x80000}, bytes)).writable(answer, 1).offer();
    rig.net->queue_notified(kNetControlQueue);
    if (!rig.ctrl().take_used().has_value())
        return std::nullopt;
    return must(rig.memory->read<std::uint8_t>(answer));
}

Bytes of(std::initializer_list<unsigned> values) {
    Bytes out;
    for (const unsigned value : values)
        out.push_back(static_cast<std::byte>(value));
    return out;
}

std::uint16_t num_buffers(const Bytes& received) {
    return load_le<std::uint16_t>(std::span{received}.subspan(10));
}

// As it was sent, apart from num_buffers.
bool same_frame(const Bytes& sent, std::span<const std::byte> received) {
    return sent.size() == received.size() && std::equal(sent.begin(), sent.begin() + 10, received.begin()) &&
           std::equal(sent.begin() + 12, sent.end(), received.begin() + 12);
}

} // namespace

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
    SECTION("an address that follows from the tap's name") {
        NetRig other{kUsualFeatures, {.tap = "tap7"}};
        CHECK(other.net->mac() == default_mac("tap7"));
    }
}

TEST_CASE("a small frame goes into one buffer") {
    NetRig rig;
    rig.negotiate();
    rig.memory->dirty().start();
    post_buffers(rig, 4, 2048);
    const auto frame = frame_to(kTestMac, 100);
    rig.wire.send(frame);
    rig.start();
    const auto used = rig.rx().take_used();
    REQUIRE(used.has_value());
    CHECK(used->len == 112);
    const auto received = rig.bytes_at(kBuffers, 112);
    CHECK(num_buffers(received) == 1);
    CHECK(same_frame(frame, received));
    CHECK(rig.host.used[0] == 1);
    CHECK_FALSE(rig.rx().take_used().has_value());

    std::vector<std::uint64_t> dirty(rig.memory->dirty().word_count());
    rig.memory->dirty().harvest_into(dirty);
    CHECK((dirty[0x100 / 64] >> (0x100 % 64) & 1) == 1);

    rig.wire.send(frame_to(kTestMac, 60, 9));
    REQUIRE(rig.turns_until([&] { return rig.rx().used_index() == 2; }));
    CHECK(rig.rx().take_used()->len == 72);
    CHECK(same_frame(frame_to(kTestMac, 60, 9), rig.bytes_at(Gpa{kBuffers.value + 2048}, 72)));
    CHECK(rig.host.broken.empty());
}

TEST_CASE("a large frame is spread over as many buffers as it needs") {
    NetRig rig;
    rig.negotiate();
    constexpr std::uint32_t kSize = 1536;
    const std::size_t length = GENERATE(std::size_t{1524}, std::size_t{1525}, std::size_t{9000}, kFrameLimit);
    post_buffers(rig, 200, kSize);
    const auto frame = frame_to(kTestMac, length);
    rig.wire.send(frame);
    rig.start();
    const std::size_t buffers = (frame.size() + kSize - 1) / kSize;
    REQUIRE(rig.rx().used_index() == buffers);
    std::size_t total = 0;
    for (std::size_t i = 0; i < buffers; ++i) {
        const auto used = rig.rx().take_used();
        CHECK(used->id == i);
        CHECK(used->len == std::min<std::size_t>(kSize, frame.size() - total));
        total += used->len;
    }
    CHECK(total == frame.size());
    const auto received = rig.bytes_at(kBuffers, frame.size());
    CHECK(num_buffers(received) == buffers);
    CHECK(same_frame(frame, received));
    CHECK(rig.host.used[0] == 1);

    rig.stop();
    CHECK(rig.last_avail[0] == buffers); // what was popped in advance went back
}

TEST_CASE("the header may be split over buffers of any size") {
    NetRig rig;
    rig.negotiate();
    for (unsigned i = 0; i < 64; ++i)
        rig.rx()
            .chain()
            .writable(Gpa{kBuffers.value + 5 * i}, 2)
            .writable(Gpa{kBuffers.value + 5 * i + 2}, 3)
            .offer();
    const auto frame = frame_to(kTestMac, 100);
    rig.wire.send(frame);
    rig.start();
    CHECK(rig.rx().used_index() == 23);
    const auto received = rig.bytes_at(kBuffers, frame.size());
    CHECK(num_buffers(received) == 23);
    CHECK(same_frame(frame, received));
}

TEST_CASE("a frame waits until there are buffers enough") {
    NetRig rig;
    rig.negotiate();
    const auto frame = frame_to(kTestMac, 9000);
    rig.wire.send(frame);
    SECTION("none at first") {
        rig.start();
        CHECK(rig.rx().used_index() == 0);
        CHECK(rig.rx().used_flags() == 0); // the driver shall ring
    }
    SECTION("too few at first") {
        post_buffers(rig, 3, 2048);
        rig.start();
        CHECK(rig.rx().used_index() == 0);
        CHECK(rig.rx().used_flags() == 0);
    }
    const unsigned there = rig.rx().avail_index();
    post_buffers(rig, 5 - there, 2048, Gpa{kBuffers.value + there * 2048});
    rig.net->queue_notified(kNetReceiveQueue);
    REQUIRE(rig.rx().used_index() == 5);
    const auto received = rig.bytes_at(kBuffers, frame.size());
    CHECK(num_buffers(received) == 5);
    CHECK(same_frame(frame, received));
}

TEST_CASE("without mergeable buffers a frame goes into one chain or is dropped") {
    NetRig rig{kUsualFeatures & ~feature(VIRTIO_NET_F_MRG_RXBUF)};
    rig.negotiate();
    rig.rx().chain().writable(kBuffers, 12).writable(Gpa{kBuffers.value + 12}, 1514).offer();
    rig.rx().chain().writable(Gpa{0x110000}, 1526).offer();
    rig.wire.send(frame_to(kTestMac, 1515));
    const auto frame = frame_to(kTestMac, 1514);
    rig.wire.send(frame);
    rig.start();
    REQUIRE(rig.rx().used_index() == 1);
    CHECK(rig.rx().take_used()->len == 1526);
    const auto received = rig.bytes_at(kBuffers, 1526);
    CHECK(num_buffers(received) == 1);
    CHECK(same_frame(frame, received));
}

TEST_CASE("a frame that not even the whole ring can hold is dropped") {
    NetRig rig;
    rig.negotiate();
    post_buffers(rig, 256, 32);
    rig.wire.send(frame_to(kTestMac, 9000));
    rig.wire.send(frame_to(kTestMac, 20));
    rig.start();
    CHECK(rig.rx().used_index() == 1);
    CHECK(rig.rx().take_used()->len == 32);
}

TEST_CASE("filtered and oversized frames use no buffer") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    REQUIRE(command(rig, of({0, 0, 0})) == VIRTIO_NET_OK); // not promiscuous
    post_buffers(rig, 100, 2048);
    rig.net->queue_notified(kNetReceiveQueue);
    rig.wire.send(frame_to({0x52, 0, 0, 0, 0, 1}, 100));
    rig.wire.send(frame_to(kTestMac, kFrameLimit + 1));
    rig.wire.send(Bytes(13));
    rig.wire.send(frame_to(kTestMac, 77));
    REQUIRE(rig.turns_until([&] { return rig.rx().used_index() != 0; }));
    CHECK(rig.rx().used_index() == 1);
    CHECK(rig.rx().take_used()->len == 89);
}

TEST_CASE("what a filtered or a large frame has written to is dirty") {
    NetRig rig;
    rig.negotiate();
    rig.start();
    rig.memory->dirty().start();
    std::vector<std::uint64_t> dirty(rig.memory->dirty().word_count());
    const auto is_dirty = [&](std::uint64_t page) { return (dirty[page / 64] >> (page % 64) & 1) == 1; };
    const auto touched = [&](const Bytes& frame) {
        rig.wire.send(frame);
        rig.net->queue_notified(kNetReceiveQueue);
        std::fill(dirty.begin(), dirty.end(), 0);
        rig.memory->dirty().harvest_into(dirty);
    };
    constexpr std::uint64_t kFirst = kBuffers.value >> kPageShift;
    rig.rx().chain().writable(kBuffers, 16 * 4096).offer();
    rig.rx().chain().writable(Gpa{0x200000}, 16 * 4096).offer();
    REQUIRE(command(rig, of({0, 0, 0})) == VIRTIO_NET_OK);
    touched(frame_to({0x52, 0, 0, 0, 0, 1}, 3 * 4096)); // 12 bytes of header: four pages
    CHECK(rig.rx().used_index() == 0);
    for (std::uint64_t page = 0; page < 6; ++page)
        CHECK(is_dirty(kFirst + page) == (page < 4));
    touched(frame_to(kTestMac, 2 * 4096));
    CHECK(rig.rx().used_index() == 1);
    for (std::uint64_t page = 0; page < 6; ++page)
        CHECK(is_dirty(kFirst + page) == (page < 3));
}

TEST_CASE("a stop forgets a frame that waits for buffers, and nothing else") {
    NetRig rig;
    rig.negotiate();
    post_buffers(rig, 2, 2048);
    rig.wire.send(frame_to(kTestMac, 9000));
    rig.start();
    rig.stop();
    CHECK(rig.last_avail[0] == 0);
    rig.start();
    const auto frame = frame_to(kTestMac, 3000, 5);
    rig.wire.send(frame);
    rig.net->queue_notified(kNetReceiveQueue);
    REQUIRE(rig.rx().used_index() == 2);
    CHECK(same_frame(frame, rig.bytes_at(kBuffers, frame.size())));
}

TEST_CASE("many frames in one go keep their order over several turns") {
    NetRig rig;
    rig.negotiate();
    post_buffers(rig, 200, 2048);
    rig.start();
    for (std::uint8_t i = 0; i < 150; ++i)
        rig.wire.send(frame_to(kTestMac, 100, i));
    REQUIRE(rig.turns_until([&] { return rig.rx().used_index() == 150; }));
    for (std::uint8_t i = 0; i < 150; ++i)
        REQUIRE(same_frame(frame_to(kTestMac, 100, i), rig.bytes_at(Gpa{kBuffers.value + i * 2048u}, 112)));
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
