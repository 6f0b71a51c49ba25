// SPDX-License-Identifier: Apache-2.0
//
// Subsections that a later release adds to the core: state that this one does not have.
#include "devices/virtio/core_subsection.h"

#include "devices/virtio/core_state_fixture.h"

namespace core_subsection_test {

using namespace godwit;
using namespace godwit::virtio;
using namespace godwit::virtio::state_test;
using Catch::Matchers::Contains;

namespace {

// What such a release would have: its transport and its device keep a part each, and the core calls both.
struct LaterMachine : StateMachine {
    explicit LaterMachine(GuestMemory& ram) : StateMachine(ram) {
        core.add_subsection({"virtio/later", 2, [this] { return transport_part != 7 || device_part != 0; },
                             [this](StateWriter& writer) -> Status {
                                 writer.step("transport.save_later");
                                 writer.value("transport_part", transport_part);
                                 writer.step("device.save_later");
                                 writer.value("device_part", device_part);
                                 return {};
                             },
                             [this](StateReader& reader, std::uint32_t version) -> Status {
                                 reader.step("transport.load_later");
                                 TRY(reader.value("transport_part", loaded_transport_part));
                                 loaded_device_part = 0;
                                 if (version < 2)
                                     return {};
                                 reader.step("device.load_later");
                                 return reader.value("device_part", loaded_device_part);
                             },
                             [this] {
                                 loaded_transport_part = 7;
                                 loaded_device_part = 0;
                             }});
    }
    void commit() {
        must(core.commit_load());
        transport_part = loaded_transport_part;
        device_part = loaded_device_part;
    }
    std::uint32_t transport_part = 7, loaded_transport_part = 99; // 7: what a release without it would assume
    std::uint16_t device_part = 0, loaded_device_part = 99;
};

struct LaterFixture : StateFixture {
    LaterMachine later{*ram}, later_destination{*ram};

    void run(LaterMachine& machine) {
        machine.device.counter = 77;
        machine.negotiate(feature(VIRTIO_F_VERSION_1) | feature(9));
        machine.set_up(0, machine.first);
        machine.driver_ok();
        must(machine.core.pause());
    }
};

} // namespace

TEST_CASE_METHOD(LaterFixture,
                 "an added core subsection calls transport and device in its place, saving and loading") {
    run(later);
    later.transport_part = 5;
    later.device_part = 6;
    OrderTrace saved, loaded;
    const Bytes bytes = later.save(&saved);
    must(later_destination.load(bytes, &loaded));
    const auto from = [](const OrderTrace& trace, std::string_view step) {
        const auto& steps = trace.steps();
        return std::vector<std::string>{std::find(steps.begin(), steps.end(), fmt::format(": {}", step)),
                                        steps.end()};
    };
    // Behind the device's own part and the older subsections; before features are looked at.
    CHECK(from(saved, "virtio/extra_state") ==
          std::vector<std::string>{": virtio/extra_state", ": virtio/started", ": virtio/later",
                                   ": transport.save_later", ": device.save_later"});
    CHECK(from(loaded, "virtio/extra_state") ==
          std::vector<std::string>{": virtio/extra_state", ": virtio/started", ": virtio/later",
                                   ": transport.load_later", ": device.load_later", ": core.sanitise",
                                   ": device.post_load"});
    later_destination.commit();
    CHECK(later_destination.transport_part == 5);
    CHECK(later_destination.device_part == 6);
    CHECK(later_destination.device.counter == 77);
    CHECK(later_destination.save() == bytes);
}

TEST_CASE_METHOD(LaterFixture,
                 "an added core subsection: an older release's stream loads, with what that one assumed") {
    const Bytes old = running();
    OrderTrace trace;
    must(later_destination.load(old, &trace));
    CHECK(std::find(trace.steps().begin(), trace.steps().end(), ": transport.load_later") ==
          trace.steps().end());
    later_destination.commit();
    CHECK(later_destination.transport_part == 7);
    CHECK(later_destination.device_part == 0);
    CHECK(later_destination.save() == old); // and can go back
}

TEST_CASE_METHOD(LaterFixture,
                 "an added core subsection: an older loader takes the guest when it is not needed") {
    run(later);
    must(destination.load(later.save()));
    must(destination.core.commit_load());
    CHECK(destination.device.counter == 77);
}

TEST_CASE_METHOD(LaterFixture, "an added core subsection: an older loader refuses it by name") {
    run(later);
    later.device_part = 1;
    const Bytes bytes = later.save();
    CHECK_THAT(refused(bytes), Contains("virtio/later") && Contains("unknown subsection"));
    CHECK(destination.core.status() == 0);
    CHECK(destination.transport.discards == 1);
}

TEST_CASE_METHOD(LaterFixture, "an added core subsection has versions of its own") {
    run(later);
    later.transport_part = 5;
    later.device_part = 6;
    const Bytes bytes = later.save();
    const auto needle = std::as_bytes(std::span{std::string_view{"virtio/later"}});
    const auto at = std::search(bytes.begin(), bytes.end(), needle.begin(), needle.end());
    const auto version = static_cast<std::size_t>(at - bytes.begin()) + needle.size();
    Bytes first = with(bytes, version, std::uint32_t{1}); // which had no part of the device
    first.resize(first.size() - sizeof(std::uint16_t));
    must(later_destination.load(first));
    later_destination.commit();
    CHECK(later_destination.transport_part == 5);
    CHECK(later_destination.device_part == 0);
    for (const std::uint32_t unknown : {0u, 3u}) {
        const auto status = later_destination.load(with(bytes, version, unknown));
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Contains("virtio/later") && Contains("up to 2 is known here"));
    }
    for (std::size_t length = bytes.size() - 6; length < bytes.size(); ++length)
        CHECK_FALSE(later_destination.load(std::span{bytes}.first(length)).ok());
}

} // namespace core_subsection_test
