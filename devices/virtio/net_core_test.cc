// SPDX-License-Identifier: Apache-2.0
//
// The network device behind the core: a driver's set-up, and a move to another device in the middle of
// traffic.
#include "devices/virtio/core_fakes.h"
#include "devices/virtio/net_fakes.h"

#include <catch2/catch.hpp>

namespace net_core_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

// One of the two hosts. The guest's RAM is the same on both, as after its transfer.
struct Side {
    Side(GuestMemory& ram, Loop& loop)
        : net(must(Net::create({.mac = kTestMac}, std::make_unique<SocketBackend>(wire), loop))),
          core(*net, ram) {
        core.attach(transport);
    }
    ~Side() { must(core.pause()); }

    Bytes save() {
        must(core.pause());
        StateWriter writer{"virtio-net", 11};
        must(core.save(writer));
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes) {
        ByteReader in{bytes};
        StateReader reader{in, "virtio-net"};
        TRY(core.load(reader, 11));
        return in.at_end() ? Status{} : corrupt("{} bytes are left", in.remaining());
    }

    Wire wire;
    std::unique_ptr<Net> net;
    FakeTransport transport;
    Core core;
};

struct TwoSides {
    void go_live(std::uint64_t features = kUsualFeatures) {
        Core& core = source.core;
        core.set_status(ACKNOWLEDGE | DRIVER);
        core.set_driver_features(features);
        core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        REQUIRE((core.status() & FEATURES_OK) != 0);
        for (std::uint16_t i = 0; i < 3; ++i) {
            core.set_queue_size(i, drivers.at(i).size());
            core.set_queue_addresses(i, drivers.at(i).addresses());
            core.enable_queue(i);
        }
        core.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        REQUIRE(core.running());
    }
    void offer_frame(std::uint8_t seed) {
        const Gpa at{kBuffers.value + seed * 4096u};
        must(memory->write(at, frame_to({2, 0, 0, 0, 0, 1}, 100, seed)));
        drivers[1].chain().readable(at, 112).offer();
    }

    std::unique_ptr<Loop> loop = must(Loop::create());
    std::unique_ptr<GuestMemory> memory = must(GuestMemory::create(8 << 20, 8 << 20));
    std::array<FakeDriver, 3> drivers{FakeDriver{*memory, 256, Gpa{0x10000}},
                                      FakeDriver{*memory, 256, Gpa{0x20000}},
                                      FakeDriver{*memory, 64, Gpa{0x30000}}};
    Side source{*memory, *loop}, destination{*memory, *loop};
};

} // namespace

TEST_CASE_METHOD(TwoSides,
                 "a device moves in the middle of traffic and loses nothing that was in its rings") {
    go_live();
    for (std::uint8_t i = 0; i < 60; ++i)
        drivers[0].chain().writable(Gpa{0x200000 + i * 2048u}, 2048).offer();
    source.core.queue_notified(0);
    source.wire.send(frame_to(kTestMac, 100, 1));
    source.core.queue_notified(0);
    source.wire.full = true;
    for (std::uint8_t i = 0; i < 5; ++i)
        offer_frame(i);
    source.core.queue_notified(1);
    CHECK(drivers[1].used_index() == 0);

    const Bytes bytes = source.save();
    must(destination.load(bytes));
    must(destination.core.commit_load());
    CHECK(destination.save() == bytes);
    CHECK(destination.wire.take().empty());

    must(destination.core.resume());
    for (std::uint8_t i = 0; i < 5; ++i)
        CHECK(destination.wire.take() == frame_to({2, 0, 0, 0, 0, 1}, 100, i));
    CHECK(drivers[1].used_index() == 5);
    CHECK(destination.wire.take().empty());
    destination.core.arrived();
    CHECK(destination.wire.take().size() == kNetHeaderFull + kRarpFrameSize);
    CHECK(destination.transport.config_interrupts == 1);

    destination.wire.send(frame_to(kTestMac, 3000, 2));
    destination.core.queue_notified(0);
    CHECK(drivers[0].used_index() == 3);
    CHECK(drivers[0].take_used()->id == 0);
    CHECK(drivers[0].take_used()->id == 1);
    CHECK(source.wire.take().empty());
    CHECK_FALSE(destination.core.broken());
}

TEST_CASE_METHOD(TwoSides, "a source whose migration failed goes on") {
    go_live();
    source.wire.full = true;
    offer_frame(1);
    source.core.queue_notified(1);
    (void)source.save();
    source.wire.full = false;
    must(source.core.resume());
    CHECK(source.wire.take() == frame_to({2, 0, 0, 0, 0, 1}, 100, 1));
    CHECK(drivers[1].used_index() == 1);
}

TEST_CASE_METHOD(TwoSides, "a guest that has not touched the device moves as well") {
    const Bytes bytes = source.save();
    must(destination.load(bytes));
    must(destination.core.commit_load());
    CHECK(destination.save() == bytes);
    must(destination.core.resume());
    destination.core.arrived();
    CHECK(destination.wire.take().empty());
}

TEST_CASE_METHOD(TwoSides, "every truncation of the section is refused") {
    go_live();
    const Bytes bytes = source.save();
    for (std::size_t length = 0; length + 30 < bytes.size(); length += length < 1000 ? 1 : 97)
        REQUIRE_FALSE(destination.load(std::span{bytes}.first(length)).ok());
}

TEST_CASE_METHOD(TwoSides, "features that the destination lacks are refused by name") {
    go_live(kUsualFeatures | feature(VIRTIO_NET_F_GUEST_UFO));
    const Bytes bytes = source.save();
    Wire wire;
    const auto plain =
        must(Net::create({.mac = kTestMac}, std::make_unique<SocketBackend>(wire, false), *loop));
    FakeTransport transport;
    Core core{*plain, *memory};
    core.attach(transport);
    ByteReader in{bytes};
    StateReader reader{in, "virtio-net"};
    const auto status = core.load(reader, 11);
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == ErrorCode::Incompatible);
    CHECK_THAT(status.error().text, Catch::Matchers::Contains("VIRTIO_NET_F_GUEST_UFO"));
}

TEST_CASE_METHOD(TwoSides, "a broken device recovers with a reset") {
    go_live();
    drivers[1].chain().readable(kBuffers, 3).offer();
    source.core.queue_notified(1);
    CHECK(source.core.broken());
    CHECK((source.core.status() & DEVICE_NEEDS_RESET) != 0);
    source.core.set_status(0);
    for (std::uint64_t i = 0; i < 3; ++i)
        drivers.at(i) = FakeDriver{*memory, drivers.at(i).size(), Gpa{0x40000 + i * 0x10000}};
    go_live();
    offer_frame(1);
    source.core.queue_notified(1);
    CHECK(source.wire.take() == frame_to({2, 0, 0, 0, 0, 1}, 100, 1));
}

} // namespace net_core_test
