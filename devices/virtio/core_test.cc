// SPDX-License-Identifier: Apache-2.0
//
// The core as a driver sees it: negotiation, status, queues, interrupts, reset; and as the machine does:
// pause and resume.
#include "devices/virtio/core_fakes.h"

#include <catch2/catch.hpp>

namespace core_test {

using namespace godwit;
using namespace godwit::virtio;

namespace {

constexpr Gpa kBuffer{0x40000};
constexpr std::uint8_t kReady = ACKNOWLEDGE | DRIVER | FEATURES_OK;

struct Fixture : TestRam, CoreUnderTest {
    Fixture() : CoreUnderTest(*ram) {}
    std::uint16_t offer() { return first.chain().writable(kBuffer, 4).offer(); }
    void kick() {
        offer();
        core.queue_notified(0);
    }
};

} // namespace

TEST_CASE_METHOD(Fixture, "negotiation in the order of section 3.1.1") {
    CHECK(core.offered_features() ==
          (feature(9) | feature(11) | feature(28) | feature(29) | feature(32) | feature(40)));
    core.set_status(ACKNOWLEDGE);
    core.set_status(ACKNOWLEDGE | DRIVER);
    core.set_driver_features(feature(32) | feature(9));
    core.set_status(kReady);
    CHECK(core.status() == kReady);
    CHECK(device.negotiated == (feature(32) | feature(9)));
    core.set_driver_features(feature(32));
    CHECK(core.driver_features() == (feature(32) | feature(9))); // too late
    set_up(0, first);
    CHECK(device.starts == 0);
    driver_ok();
    CHECK(core.status() == (kReady | DRIVER_OK));
    CHECK(device.starts == 1);
    CHECK(device.features == (feature(32) | feature(9)));
    CHECK(transport.doorbells);
    CHECK(core.running());
    REQUIRE(device.queues.size() == 2);
    CHECK(device.queues[0]->size() == 256);
    CHECK(device.queues[1] == nullptr);
}

TEST_CASE_METHOD(Fixture, "FEATURES_OK is refused") {
    core.set_status(ACKNOWLEDGE | DRIVER);
    SECTION("for a feature that was not offered") {
        core.set_driver_features(feature(32) | feature(5));
        core.set_status(kReady);
    }
    SECTION("without VERSION_1") {
        core.set_driver_features(feature(9));
        core.set_status(kReady);
    }
    CHECK(core.status() == (ACKNOWLEDGE | DRIVER));
    core.set_status(core.status() | DRIVER_OK);
    CHECK(core.status() == (ACKNOWLEDGE | DRIVER));
    CHECK(device.starts == 0);
    core.set_driver_features(feature(32));
    core.set_status(kReady);
    CHECK(core.status() == kReady);
}

TEST_CASE_METHOD(Fixture, "FEATURES_OK comes after ACKNOWLEDGE and DRIVER") {
    core.set_driver_features(feature(32));
    core.set_status(FEATURES_OK);
    CHECK(core.status() == 0);
    core.set_status(kReady);
    CHECK(core.status() == kReady);
}

TEST_CASE_METHOD(Fixture, "status bits stay until a reset, and the device's bits are the device's") {
    core.set_status(ACKNOWLEDGE | DRIVER);
    core.set_status(ACKNOWLEDGE);
    CHECK(core.status() == (ACKNOWLEDGE | DRIVER));
    core.set_status(DEVICE_NEEDS_RESET | 0x30);
    CHECK(core.status() == (ACKNOWLEDGE | DRIVER));
    core.set_status(FAILED);
    CHECK(core.status() == (ACKNOWLEDGE | DRIVER | FAILED));
    core.set_status(0);
    CHECK(core.status() == 0);
}

TEST_CASE_METHOD(Fixture, "queue set-up") {
    negotiate();
    CHECK(core.queue_count() == 2);
    CHECK(core.queue(2) == nullptr);
    CHECK(core.max_queue_size(0xffff) == 0);
    SECTION("sizes") {
        for (const std::uint16_t bad : {std::uint16_t{0}, std::uint16_t{100}, std::uint16_t{512}})
            core.set_queue_size(0, bad);
        CHECK(core.queue(0)->size == 256);
        core.set_queue_size(0, 16);
        CHECK(core.queue(0)->size == 16);
    }
    SECTION("an enabled queue does not change (CVE-2026-5747)") {
        set_up(0, first);
        driver_ok();
        core.set_queue_size(0, 16);
        core.set_queue_addresses(0, {Gpa{0x1000}, Gpa{0x2000}, Gpa{0x3000}});
        CHECK(core.queue(0)->size == 256);
        CHECK(core.queue(0)->addresses == first.addresses());
    }
    SECTION("indices that do not exist") {
        core.set_queue_size(2, 16);
        core.set_queue_addresses(2, first.addresses());
        core.enable_queue(0xffff);
        core.reset_queue(2);
        core.queue_notified(2);
        core.queue_notified(0xffff);
        CHECK(device.notifications == 0);
        CHECK_FALSE(core.broken());
    }
    SECTION("no descriptor table") {
        core.enable_queue(0);
        CHECK_FALSE(core.queue(0)->enabled);
        CHECK_FALSE(core.broken());
    }
    SECTION("areas outside RAM") {
        auto at = first.addresses();
        at.device = Gpa{(1 << 20) - 16};
        core.set_queue_addresses(0, at);
        core.enable_queue(0);
        CHECK_FALSE(core.queue(0)->enabled);
        CHECK(core.broken());
        CHECK((core.status() & DEVICE_NEEDS_RESET) != 0);
        CHECK(transport.config_interrupts == 0); // not before DRIVER_OK (section 2.1.2)
        driver_ok();
        CHECK(device.starts == 0);
    }
    SECTION("doorbells of a queue that is not enabled") {
        set_up(0, first);
        driver_ok();
        const int before = device.notifications;
        core.queue_notified(1);
        CHECK(device.notifications == before);
    }
}

TEST_CASE_METHOD(Fixture, "interrupts") {
    go_live();
    kick();
    CHECK(first.take_used()->len == 4);
    CHECK(transport.queue_interrupts[0] == 1);
    CHECK(core.isr() == kIsrQueue);
    CHECK(core.take_isr() == kIsrQueue);
    CHECK(core.isr() == 0);
    first.set_avail_flags(VIRTQ_AVAIL_F_NO_INTERRUPT);
    kick();
    CHECK(transport.queue_interrupts[0] == 1);
    CHECK(core.isr() == 0);

    const auto generation = core.config_generation();
    device.host->config_changed();
    CHECK(core.config_generation() == static_cast<std::uint8_t>(generation + 1));
    CHECK(core.isr() == kIsrConfig);
    CHECK(transport.config_interrupts == 1);
}

TEST_CASE_METHOD(Fixture, "configuration space ends where it ends") {
    device.config = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                     std::byte{5}, std::byte{6}, std::byte{7}, std::byte{8}};
    std::array<std::byte, 4> out;
    out.fill(std::byte{0xee});
    core.read_config(6, out);
    CHECK(out == std::array{std::byte{7}, std::byte{8}, std::byte{0}, std::byte{0}});
    core.read_config(0xffffffff, out);
    CHECK(out == std::array<std::byte, 4>{});
    core.write_config(6, out);
    core.write_config(0xffffffff, out);
    CHECK(device.config[6] == std::byte{7});
    core.write_config(4, out);
    CHECK(device.config[7] == std::byte{0});
}

TEST_CASE_METHOD(Fixture, "a driver's mistake breaks the device, not the machine") {
    go_live();
    first.set_avail_index(300);
    core.queue_notified(0);
    CHECK(core.broken());
    CHECK_FALSE(core.running());
    CHECK((core.status() & DEVICE_NEEDS_RESET) != 0);
    CHECK(transport.config_interrupts == 1);
    CHECK((core.isr() & kIsrConfig) != 0);
    const int before = device.notifications;
    core.queue_notified(1);
    CHECK(device.notifications == before);
    device.host->device_broken(error(ErrorCode::Guest, "again"));
    CHECK(transport.config_interrupts == 1);

    SECTION("a pause does not mend it") {
        must(core.pause());
        must(core.resume());
        CHECK_FALSE(core.running());
        CHECK(device.starts == 1);
    }
    SECTION("a reset does") {
        core.set_status(0);
        CHECK(core.status() == 0);
        CHECK_FALSE(core.broken());
        first.start_at(0);
        second.start_at(0);
        go_live();
        kick();
        CHECK(first.take_used().has_value());
    }
}

TEST_CASE_METHOD(Fixture, "reset drains and forgets") {
    go_live();
    core.set_queue_select(1);
    device.hold = true;
    kick();
    CHECK(device.held.size() == 1);
    core.set_status(0);
    CHECK(device.stops == 1);
    CHECK(first.take_used().has_value()); // given back before the status reads zero
    CHECK(device.resets == 1);
    CHECK(transport.resets == 1);
    CHECK_FALSE(transport.doorbells);
    CHECK(core.status() == 0);
    CHECK(core.isr() == 0);
    CHECK(core.driver_features() == 0);
    CHECK(core.queue_select() == 0);
    CHECK_FALSE(core.queue(0)->enabled);
    CHECK(core.queue(1)->size == 64);
    core.queue_notified(0);
    CHECK(device.held.empty());
}

TEST_CASE_METHOD(Fixture, "a reset that cannot drain is not done") {
    go_live();
    device.hold = true;
    kick();
    device.fail_stop = true;
    core.set_status(0);
    CHECK(core.status() != 0);
    CHECK((core.status() & DEVICE_NEEDS_RESET) != 0);
    CHECK(device.resets == 0);
    CHECK(device.held.size() == 1);
    device.fail_stop = false;
    core.set_status(0);
    CHECK(core.status() == 0);
    CHECK(device.resets == 1);
}

TEST_CASE_METHOD(Fixture, "RING_RESET gives back one queue") {
    go_live();
    kick();
    device.hold = true;
    kick();
    core.reset_queue(0);
    CHECK(device.held.empty());
    CHECK(first.used_index() == 2);
    CHECK_FALSE(core.queue(0)->enabled);
    CHECK(core.queue(1)->enabled);
    CHECK(core.running());
    CHECK(device.queues[0] == nullptr);
    CHECK(device.queues[1] != nullptr);

    device.hold = false;
    FakeDriver smaller{*ram, 16, Gpa{0x50000}};
    set_up(0, smaller);
    REQUIRE(device.queues[0] != nullptr);
    CHECK(device.queues[0]->size() == 16);
    smaller.chain().writable(kBuffer, 4).offer();
    core.queue_notified(0);
    CHECK(smaller.take_used().has_value());
}

TEST_CASE_METHOD(Fixture, "without RING_RESET a queue is reset with its device only") {
    negotiate(feature(VIRTIO_F_VERSION_1));
    set_up(0, first);
    driver_ok();
    core.reset_queue(0);
    CHECK(core.queue(0)->enabled);
}

TEST_CASE_METHOD(Fixture, "pause and resume") {
    SECTION("before the driver is ready") {
        must(core.pause());
        must(core.resume());
        CHECK(device.starts == 0);
    }
    SECTION("twice each") {
        go_live();
        kick();
        must(core.pause());
        must(core.pause());
        CHECK(device.stops == 1);
        CHECK_FALSE(core.running());
        offer();
        core.queue_notified(0);
        CHECK(first.used_index() == 1);
        must(core.resume());
        must(core.resume());
        CHECK(device.starts == 2);
        CHECK(first.used_index() == 2); // what came in meanwhile
        kick();
        CHECK(first.used_index() == 3);
    }
    SECTION("a failed drain fails the pause, and the device goes on") {
        go_live();
        device.hold = true;
        kick();
        device.fail_stop = true;
        const auto paused = core.pause();
        REQUIRE_FALSE(paused.ok());
        CHECK(paused.error().text == "fake0: 1 request does not end");
        device.fail_stop = false;
        must(core.resume());
        CHECK(core.running());
        CHECK(transport.doorbells);
        kick();
        CHECK(device.held.size() == 2);
        must(core.pause());
        CHECK(first.used_index() == 2);
    }
    SECTION("a ring that the driver spoiled breaks the device when it is paused") {
        go_live();
        first.set_avail_index(300);
        must(core.pause());
        CHECK(core.broken());
    }
    SECTION("a backend that fails is an error of the machine") {
        go_live();
        must(core.pause());
        device.fail_start = true;
        const auto resumed = core.resume();
        REQUIRE_FALSE(resumed.ok());
        CHECK(resumed.error().text == "fake0: the backend is gone");
        CHECK(core.broken());
    }
    SECTION("a ring that the driver spoils while paused is not") {
        go_live();
        must(core.pause());
        first.set_used_index(9);
        must(core.resume());
        CHECK(core.broken());
        CHECK_FALSE(core.running());
    }
}

TEST_CASE_METHOD(Fixture, "doorbells that cannot be had break the device") {
    transport.fail_doorbells = true;
    go_live();
    CHECK(core.broken());
    CHECK(device.starts == 0);
    transport.fail_doorbells = false;
    core.set_status(0);
    go_live();
    CHECK(core.running());
}

TEST_CASE_METHOD(Fixture, "without bus mastering the device stands still") {
    core.set_disabled(true);
    go_live();
    CHECK(device.starts == 0);
    core.set_disabled(false);
    CHECK(device.starts == 1);
    core.set_disabled(true);
    CHECK(device.stops == 1);
    offer();
    core.queue_notified(0);
    CHECK(first.used_index() == 0);
    must(core.pause());
    core.set_disabled(false);
    CHECK(device.starts == 1);
    must(core.resume());
    CHECK(first.used_index() == 1);
}

TEST_CASE_METHOD(Fixture, "a machine reset also lifts what only the machine can") {
    core.set_disabled(true);
    go_live();
    core.set_status(0);
    CHECK(core.disabled());
    core.machine_reset();
    CHECK_FALSE(core.disabled());
    CHECK(core.status() == 0);
}

} // namespace core_test
