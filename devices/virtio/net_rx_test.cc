// SPDX-License-Identifier: Apache-2.0
//
// Frames that the network device receives: into one buffer, many, or too few.
#include "devices/virtio/net_fakes.h"

#include <catch2/catch.hpp>

namespace net_rx_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

std::uint16_t num_buffers(const Bytes& received) {
    return load_le<std::uint16_t>(std::span{received}.subspan(10));
}

// As it was sent, apart from num_buffers.
bool same_frame(const Bytes& sent, std::span<const std::byte> received) {
    return sent.size() == received.size() && std::equal(sent.begin(), sent.begin() + 10, received.begin()) &&
           std::equal(sent.begin() + 12, sent.end(), received.begin() + 12);
}

} // namespace

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

} // namespace net_rx_test
