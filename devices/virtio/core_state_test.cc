// SPDX-License-Identifier: Apache-2.0
//
// The core's state in the stream: order, size, round trips, and every way to lie about it.
#include "devices/virtio/core_state_fixture.h"

#include <catch2/catch.hpp>

namespace core_state_test {

using namespace godwit;
using namespace godwit::virtio;
using namespace godwit::virtio::state_test;
using Catch::Matchers::Contains;

namespace {

// Offsets in the fake's record: transport 2, status 1, isr 1, queue_sel 2, features 4, config_len 4,
// config 8.
constexpr std::size_t kStatus = 2, kQueueSelect = 4, kFeatures = 6, kConfigLength = 10, kQueues = 22,
                      kFirstQueue = 26, kLastAvail = kFirstQueue + 12, kSubsections = 26 + 2 * 16 + 4;
constexpr std::size_t kSubsectionHeader = 1 + 1 + 4; // mark, length, version
constexpr std::size_t k64bitFeatures = kSubsections + kSubsectionHeader + 21;
constexpr std::size_t kVirtqueues = k64bitFeatures + 8 + kSubsectionHeader + 17;

// The same without the subsection of this name and size.
Bytes without(const Bytes& bytes, std::string_view name, std::size_t body) {
    const auto needle = std::as_bytes(std::span{name});
    const auto at = std::search(bytes.begin(), bytes.end(), needle.begin(), needle.end());
    REQUIRE(at != bytes.end());
    Bytes shorter{bytes.begin(), at - 2};
    shorter.insert(shorter.end(), at + static_cast<std::ptrdiff_t>(name.size() + 4 + body), bytes.end());
    return shorter;
}

} // namespace

TEST_CASE_METHOD(StateFixture, "the order of saving and of loading is the documented one") {
    const Bytes bytes = running();
    OrderTrace saved, loaded;
    saved.enter("d");
    loaded.enter("d");
    CHECK(source.save(&saved) == bytes);
    CHECK(saved.steps() ==
          std::vector<std::string>{"d: core.start", "d: transport.save_config", "d: core.common",
                                   "d: core.queues", "d: transport.save_queue", "d: transport.save_queue",
                                   "d: device.save_device", "d: core.subsections", "d: virtio/64bit_features",
                                   "d: virtio/virtqueues", "d: virtio/extra_state", "d: virtio/started"});
    must(destination.load(bytes, &loaded));
    CHECK(loaded.steps() ==
          std::vector<std::string>{"d: core.start", "d: transport.load_config", "d: core.common",
                                   "d: core.queues", "d: transport.load_queue", "d: transport.load_queue",
                                   "d: device.load_device", "d: core.subsections", "d: virtio/64bit_features",
                                   "d: virtio/virtqueues", "d: virtio/extra_state", "d: virtio/started",
                                   "d: core.sanitise", "d: device.post_load"});
}

TEST_CASE_METHOD(StateFixture, "the section is named as QEMU names it") {
    const SectionId id = source.core.id();
    CHECK(id.name == "fake:0/virtio-fake");
    CHECK(id.record == "virtio-fake");
    CHECK(id.version == 3);
    CHECK(id.minimum_version == 3);
}

// The parts of the totals in docs/state-stream.md that the core writes.
TEST_CASE_METHOD(StateFixture, "sizes are those of QEMU") {
    const Bytes fresh = source.save();
    const std::size_t transport = 2 + 2 * 2 + 24 + (1 + 1 + 17 + 4) + 4;
    const std::size_t queues = 2 * (4 + 8 + 2);
    CHECK(fresh.size() == transport + 8 + 4 + 8 + 4 + queues + 4 + 35 + 16407);
    CHECK(running().size() == fresh.size() + 21);
}

TEST_CASE_METHOD(StateFixture, "the description names the fields") {
    const Bytes bytes = running();
    const auto& fields = source.description.fields;
    std::vector<std::string> names;
    std::size_t described = 0;
    for (const auto& field : fields) {
        names.push_back(field.name);
        described += field.size;
    }
    CHECK(names == std::vector<std::string>{"config_vector", "status", "isr", "queue_sel", "guest_features",
                                            "config_len", "config", "nq", "vq", "vq", "counter"});
    CHECK(described == kSubsections);
    REQUIRE(fields[9].index == 1);
    const auto& queue = fields[9].structure[0].fields;
    REQUIRE(queue.size() == 4);
    CHECK(queue[0].name == "num");
    CHECK(queue[1].name == "desc");
    CHECK(queue[2].name == "last_avail_idx");
    CHECK(queue[3].name == "vector");
    REQUIRE(source.description.subsections.size() == 4);
    const auto& rings = source.description.subsections[1];
    CHECK(rings.name == "virtio/virtqueues");
    REQUIRE(rings.fields.size() == 3); // two queues, and all others together
    CHECK(rings.fields[2].size == (VIRTIO_QUEUE_MAX - 2) * 16);
}

TEST_CASE_METHOD(StateFixture, "a running device goes on elsewhere") {
    const Bytes bytes = running();
    must(destination.load(bytes));
    CHECK(destination.core.status() == 0); // nothing before the commit
    must(destination.core.commit_load());
    CHECK(destination.save() == bytes);
    CHECK(destination.device.counter == 77);
    CHECK(destination.device.negotiated == (feature(VIRTIO_F_VERSION_1) | feature(9)));
    CHECK(destination.device.loaded_features == feature(9));
    CHECK(destination.device.loaded_config.size() == 8);
    CHECK(destination.device.starts == 0);
    must(destination.core.resume());
    CHECK(destination.core.running());
    CHECK(source.first.used_index() == 2); // the buffer that waited
    CHECK(destination.transport.queue_interrupts[0] == 1);
}

TEST_CASE_METHOD(StateFixture, "saving, loading and saving again gives the same bytes") {
    const auto round_trip = [this] {
        const Bytes bytes = source.save();
        must(destination.load(bytes));
        must(destination.core.commit_load());
        CHECK(destination.save() == bytes);
        return bytes.size();
    };
    SECTION("fresh") {
        round_trip();
    }
    SECTION("half negotiated, with a feature that was not offered") {
        source.core.set_status(ACKNOWLEDGE | DRIVER);
        source.core.set_driver_features(feature(63) | feature(9) | feature(32));
        source.core.set_queue_select(1);
        round_trip();
        CHECK(destination.core.driver_features() == (feature(9) | feature(32)));
        CHECK(destination.core.queue_select() == 1);
    }
    SECTION("queues set up, not all enabled") {
        source.negotiate();
        source.set_up(1, source.second);
        source.core.set_queue_addresses(0, source.first.addresses());
        round_trip();
        CHECK(destination.core.queue(1)->enabled);
        CHECK(destination.core.queue(1)->addresses == source.second.addresses());
        CHECK_FALSE(destination.core.queue(0)->enabled);
        destination.driver_ok();
        CHECK(destination.device.starts == 0); // it is paused
        must(destination.core.resume());
        CHECK(destination.device.starts == 1);
    }
    SECTION("a smaller ring brings virtio/ringsize") {
        const std::size_t fresh = source.save().size();
        source.core.set_queue_size(0, 16);
        CHECK(round_trip() == fresh + kSubsectionHeader + 15 + 4096);
        CHECK(destination.core.queue(0)->size == 16);
        destination.core.set_status(0);
        CHECK(destination.core.queue(0)->size == 256);
    }
    SECTION("broken, with indices that no other device could have") {
        source.go_live();
        source.first.set_avail_index(300);
        source.core.queue_notified(0);
        must(source.core.pause());
        round_trip();
        CHECK(destination.core.broken());
        must(destination.core.resume());
        CHECK_FALSE(destination.core.running());
    }
    SECTION("disabled") {
        source.go_live();
        source.core.set_disabled(true);
        must(source.core.pause());
        round_trip();
        CHECK(destination.core.disabled());
        must(destination.core.resume());
        CHECK_FALSE(destination.core.running());
        destination.core.set_disabled(false);
        CHECK(destination.core.running());
    }
    SECTION("big-endian, as a legacy driver may be") {
        source.core.set_device_endian(DeviceEndian::Big);
        round_trip();
        CHECK(destination.core.device_endian() == DeviceEndian::Big);
        destination.core.set_status(0);
        CHECK(destination.core.device_endian() == DeviceEndian::Little);
    }
}

TEST_CASE_METHOD(StateFixture, "a device that runs is not saved") {
    source.go_live();
    StateWriter writer{"virtio-fake", 3};
    CHECK_FALSE(source.core.save(writer).ok());
}

TEST_CASE_METHOD(StateFixture, "every truncation is refused") {
    Bytes bytes = running();
    const std::span<const std::byte> all{bytes};
    // The zeros of queues that do not exist are cut in steps.
    for (std::size_t length = 0; length<all.size(); length += length> 400 && length < 16000 ? 97 : 1)
        if (destination.load(all.first(length)).ok())
            FAIL("a record of " << length << " bytes was taken");
    must(destination.load(all));
    bytes.push_back(std::byte{0});
    CHECK_FALSE(destination.load(bytes).ok());
}

TEST_CASE_METHOD(StateFixture, "no single changed byte does harm") {
    const Bytes good = running();
    int taken = 0;
    for (std::size_t i = 0; i<good.size(); i += i> 400 && i < 16000 ? 97 : 1) {
        for (const unsigned change : {0x01u, 0x80u, 0xffu}) {
            Bytes bytes = good;
            bytes[i] ^= static_cast<std::byte>(change);
            if (!destination.load(bytes).ok())
                continue;
            ++taken;
            must(destination.core.commit_load());
            CHECK(destination.save().size() >= 16000);
            must(destination.core.resume());
            must(destination.core.pause());
            source.first.start_at(1);
            source.first.set_avail_index(2);
        }
    }
    CHECK(taken > 0); // isr, vectors...
}

TEST_CASE_METHOD(StateFixture, "hostile fields are refused by name") {
    const Bytes good = running();
    must(destination.load(good));
    SECTION("number of queues (CVE-2013-4151, CVE-2013-4150)") {
        CHECK_THAT(refused(with(good, kQueues, std::uint32_t{0xffffffff})), Contains("nq is 4294967295"));
        CHECK_THAT(refused(with(good, kQueues, std::uint32_t{3})),
                   Contains("3 queues in the stream, 2 here"));
    }
    SECTION("queue_sel (CVE-2013-6399)") {
        CHECK_THAT(refused(with(good, kQueueSelect, std::uint16_t{1024})), Contains("queue_sel is 1024"));
    }
    SECTION("config_len (CVE-2014-0182)") {
        CHECK_THAT(refused(with(good, kConfigLength, std::uint32_t{0x80000000})), Contains("config_len"));
    }
    SECTION("ring size") {
        for (const std::uint32_t size : {0u, 3u, 512u, 0x10100u})
            CHECK_THAT(refused(with(good, kFirstQueue, size)), Contains("vq[0]: size"));
    }
    SECTION("descriptor table") {
        CHECK_THAT(refused(with(good, kFirstQueue + 4, std::uint64_t{0x10008})), Contains("not aligned"));
        CHECK_THAT(refused(with(good, kFirstQueue + 4, std::uint64_t{1} << 40)), Contains("not guest RAM"));
        CHECK_THAT(refused(with(good, kFirstQueue + 4, std::uint64_t{0})),
                   Contains("last_avail_idx 1 without a descriptor table"));
    }
    SECTION("rings") {
        CHECK_THAT(refused(with(good, kVirtqueues, ~std::uint64_t{1})), Contains("not guest RAM"));
        CHECK_THAT(refused(with(good, kVirtqueues + 8, std::uint64_t{1} << 20)), Contains("not guest RAM"));
        CHECK_THAT(refused(with(good, kVirtqueues + 16 * 1023, std::uint64_t{1})),
                   Contains("addresses for queue 1023"));
    }
    SECTION("more in flight than the queue has entries") {
        source.first.set_used_index(2);
        CHECK_THAT(refused(good), Contains("65535 chains in flight"));
    }
    SECTION("more offered than the queue has entries") {
        source.first.set_avail_index(258);
        CHECK_THAT(refused(good), Contains("257 ahead"));
        CHECK_THAT(refused(with(good, kLastAvail, std::uint16_t{300})),
                   Contains("vq[0]: 299 chains in flight"));
    }
    SECTION("features") {
        const auto features = with(good, kFeatures, std::uint32_t{1u << 9 | 1u << 1});
        CHECK_THAT(refused(features), Contains("does not agree"));
        CHECK_THAT(refused(with(features, k64bitFeatures,
                                feature(9) | feature(1) | feature(VIRTIO_F_VERSION_1) | feature(34))),
                   Contains("feature VIRTIO_BLK_F_SIZE_MAX (1), VIRTIO_F_RING_PACKED (34) not offered here"));
        CHECK_THAT(refused(with(good, k64bitFeatures, feature(9))), Contains("legacy"));
    }
    SECTION("status") {
        CHECK_THAT(refused(with(good, kStatus, std::uint8_t{ACKNOWLEDGE | DRIVER | DRIVER_OK})),
                   Contains("DRIVER_OK without FEATURES_OK"));
        CHECK_THAT(refused(with(good, kStatus, std::uint8_t{ACKNOWLEDGE})), Contains("virtio/started"));
    }
    SECTION("missing subsections") {
        CHECK_THAT(refused(without(good, "virtio/64bit_features", 8)),
                   Contains("virtio/64bit_features is missing"));
        CHECK_THAT(refused(without(good, "virtio/virtqueues", 16384)),
                   Contains("virtio/virtqueues is missing"));
        CHECK_THAT(refused(without(good, "virtio/started", 1)), Contains("virtio/started"));
    }
    SECTION("subsections that nobody knows, or twice") {
        Bytes more = good;
        const std::string_view unknown{"\x05\x0avirtio/new\0\0\0\1", 16};
        more.insert(more.end(), std::as_bytes(std::span{unknown}).begin(),
                    std::as_bytes(std::span{unknown}).end());
        CHECK_THAT(refused(more), Contains("virtio/new: unknown subsection"));
        Bytes twice = good;
        twice.insert(twice.end(), good.end() - 21, good.end());
        CHECK_THAT(refused(twice), Contains("comes twice"));
        Bytes newer = good;
        newer[newer.size() - 2] = std::byte{2};
        CHECK_THAT(refused(newer), Contains("version 2"));
    }
    SECTION("what was loaded before is forgotten, and the core unchanged") {
        destination.core.discard_load();
        CHECK(destination.transport.discards == 1);
        must(destination.core.commit_load());
        CHECK(destination.core.status() == 0);
    }
}

TEST_CASE_METHOD(StateFixture, "configuration space of another length is read over") {
    const Bytes good = running();
    for (const std::size_t length : {std::size_t{0}, std::size_t{3}, std::size_t{200}}) {
        Bytes bytes{good.begin(), good.begin() + kConfigLength};
        bytes.resize(bytes.size() + 4 + length);
        store_be(std::span{bytes}.subspan(kConfigLength), static_cast<std::uint32_t>(length));
        bytes.insert(bytes.end(), good.begin() + kQueues, good.end());
        must(destination.load(bytes));
        CHECK(destination.device.loaded_config.size() == length);
    }
}

TEST_CASE_METHOD(StateFixture, "fewer queues than here are taken") {
    Bytes bytes = running();
    bytes = with(bytes, kQueues, std::uint32_t{1});
    bytes.erase(bytes.begin() + kFirstQueue + 16, bytes.begin() + kFirstQueue + 32);
    // The second queue's rings must be gone as well.
    CHECK_THAT(refused(bytes), Contains("addresses for queue 1"));
    bytes = with(bytes, kVirtqueues - 16 + 16, std::uint64_t{0});
    bytes = with(bytes, kVirtqueues - 16 + 24, std::uint64_t{0});
    must(destination.load(bytes));
    must(destination.core.commit_load());
    CHECK_FALSE(destination.core.queue(1)->enabled);
    CHECK(destination.core.queue(1)->size == 64);
}

TEST_CASE_METHOD(StateFixture,
                 "event indices are armed anew after a load (class of the hang with VIRTIO_F_EVENT_IDX)") {
    source.negotiate(feature(VIRTIO_F_VERSION_1) | feature(VIRTIO_F_EVENT_IDX));
    source.set_up(0, source.first);
    source.driver_ok();
    for (int i = 0; i < 3; ++i) {
        source.first.chain().writable(kBuffer, 4).offer();
        source.core.queue_notified(0);
    }
    must(source.core.pause());
    // The driver offers one more while nobody runs: neither its doorbell nor the interrupt may get lost.
    source.first.set_used_event(100); // old: not where the next one will be used
    source.first.chain().writable(kBuffer, 4).offer();
    const Bytes bytes = source.save();
    must(destination.load(bytes));
    must(destination.core.commit_load());
    must(destination.core.resume());
    CHECK(source.first.used_index() == 4);
    CHECK(destination.transport.queue_interrupts[0] == 1); // the first one after a load, always
}

} // namespace core_state_test
