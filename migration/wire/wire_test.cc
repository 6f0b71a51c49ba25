// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/description_json.h"
#include "migration/wire/save_load.h"
#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_writer.h"
#include "migration/wire/test_sections.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace wire_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::wire;
using namespace godwit::migration::test;

namespace {

using Bytes = std::vector<std::byte>;

struct Machine {
    TestSection<TimerState> timer;
    TestSection<DeviceState> device{{}, "0000:00:01.0/"};
    TestSection<TimerState> second{{}, "", 1};
    std::vector<StateSection*> sections{&timer, &device, &second};
};

Machine sample_machine() {
    Machine machine;
    machine.timer.state = {-5, 0x0102030405060708};
    machine.device.state = sample_device();
    machine.second.state = {7, 8};
    return machine;
}

Bytes saved(Machine& machine, RunState state = RunState::Running,
            Description description = Description::Whole) {
    OrderTrace trace;
    machine.sections = {&machine.timer, &machine.device, &machine.second};
    return std::move(save_state(machine.sections, state, trace, description)).value();
}

Result<RunState> loaded(Machine& machine, std::span<const std::byte> bytes) {
    OrderTrace trace;
    machine.sections = {&machine.timer, &machine.device, &machine.second};
    return TRY(load_state(bytes, machine.sections, trace)).run_state;
}

std::string load_error(std::span<const std::byte> bytes) {
    Machine machine;
    const auto outcome = loaded(machine, bytes);
    return outcome.ok() ? "accepted" : outcome.error().text;
}

// Offset of a text in the stream.
std::size_t find(const Bytes& bytes, std::string_view text) {
    const auto wanted = std::as_bytes(std::span{text});
    return static_cast<std::size_t>(std::ranges::search(bytes, wanted).begin() - bytes.begin());
}

} // namespace

TEST_CASE("a stream may say what a reader acts on, and no more", "[wire]") {
    Machine source = sample_machine(), destination;
    OrderTrace trace;
    const GuestNotes notes{R"({"cpuid": []})", R"({"stopped": 5})"};
    const auto bytes =
        std::move(save_state(source.sections, RunState::Running, trace, Description::Notes, notes)).value();
    OrderTrace loading;
    destination.sections = {&destination.timer, &destination.device, &destination.second};
    const auto loaded = load_state(bytes, destination.sections, loading);
    REQUIRE(loaded.ok());
    REQUIRE(loaded.value().notes == notes);
    // Neither fields nor steps.
    const auto bare = saved(source, RunState::Running, Description::None);
    REQUIRE(bytes.size() < bare.size() + 200);
    REQUIRE(find(bytes, "vmsd_name") == bytes.size());
    trace = {};
    REQUIRE(save_state(source.sections, RunState::Running, trace, Description::Notes).value() == bare);
}

TEST_CASE("a small stream has QEMU's bytes", "[wire]") {
    TestSection<TimerState> timer{TimerState{1, 2}};
    OrderTrace trace;
    StateSection* const sections[] = {&timer};
    const auto bytes = std::move(save_state(sections, RunState::Running, trace, Description::None)).value();

    ByteWriter expected;
    expected.be(std::uint32_t{0x5145564d});
    expected.be(std::uint32_t{3});
    expected.be(std::uint8_t{7});
    expected.be(std::uint32_t{7});
    expected.append("microvm");
    expected.be(std::uint8_t{4}); // FULL
    expected.be(std::uint32_t{1});
    expected.be(std::uint8_t{5});
    expected.append("timer");
    expected.be(std::uint32_t{0});
    expected.be(std::uint32_t{2});
    expected.be(std::uint64_t{1});
    expected.zeros(8);
    expected.be(std::uint64_t{2});
    expected.be(std::uint8_t{0x7e});
    expected.be(std::uint32_t{1});
    expected.be(std::uint8_t{4});
    expected.be(std::uint32_t{3}); // 2 is kept for RAM
    expected.be(std::uint8_t{11});
    expected.append("globalstate");
    expected.be(std::uint32_t{0});
    expected.be(std::uint32_t{1});
    expected.be(std::uint32_t{8});
    expected.append("running");
    expected.zeros(93);
    expected.be(std::uint8_t{0x7e});
    expected.be(std::uint32_t{3});
    expected.be(std::uint8_t{0});
    REQUIRE(std::ranges::equal(bytes, expected.bytes()));
}

TEST_CASE("what was saved is what is loaded, and only the commit makes it live", "[wire]") {
    Machine source = sample_machine();
    const auto state = GENERATE(RunState::Running, RunState::Paused, RunState::IoError);
    const Bytes bytes = saved(source, state);
    Machine destination;
    const auto outcome = loaded(destination, bytes);
    REQUIRE(outcome.ok());
    REQUIRE(outcome.value() == state);
    REQUIRE(destination.device.state == DeviceState{});
    for (StateSection* section : destination.sections)
        REQUIRE(section->commit_load().ok());
    REQUIRE(destination.device.state == source.device.state);
    REQUIRE(destination.timer.state == source.timer.state);
    REQUIRE(destination.second.state == source.second.state);
    REQUIRE(saved(destination, state) == bytes);
}

TEST_CASE("the trace tells the order of the sections on both sides", "[wire]") {
    Machine source = sample_machine();
    OrderTrace saving;
    const auto bytes = std::move(save_state(source.sections, RunState::Running, saving)).value();
    REQUIRE(saving.steps().size() == 4);
    Machine destination;
    OrderTrace loading;
    destination.sections = {&destination.timer, &destination.device, &destination.second};
    REQUIRE(load_state(bytes, destination.sections, loading).ok());
    REQUIRE(loading.steps() == std::vector<std::string>{"timer: load", "0000:00:01.0/device: load",
                                                        "timer#1: load", "globalstate: load"});
}

TEST_CASE("every truncation is refused and leaves no scratch", "[wire]") {
    Machine source = sample_machine();
    const Bytes bytes = saved(source, RunState::Running, Description::None);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        Machine machine;
        CAPTURE(length);
        REQUIRE_FALSE(loaded(machine, std::span{bytes}.first(length)).ok());
        REQUIRE(machine.timer.discards == 1);
        REQUIRE(machine.device.discards == 1);
    }
    const Bytes described = saved(source);
    for (std::size_t length = bytes.size() + 1; length < described.size(); ++length) {
        Machine machine;
        CAPTURE(length);
        REQUIRE_FALSE(loaded(machine, std::span{described}.first(length)).ok());
    }
}

TEST_CASE("any flipped bit is refused or gives state that validates", "[wire]") {
    Machine source = sample_machine();
    Bytes bytes = saved(source, RunState::Running, Description::None);
    for (std::size_t at = 0; at < bytes.size() * 8; ++at) {
        bytes[at / 8] ^= std::byte{1} << (at % 8);
        Machine machine;
        if (loaded(machine, bytes).ok()) {
            for (StateSection* section : machine.sections)
                REQUIRE(section->commit_load().ok());
            REQUIRE(validate_state(machine.device.state).ok());
        }
        bytes[at / 8] ^= std::byte{1} << (at % 8);
    }
}

TEST_CASE("errors of the container name the section", "[wire]") {
    Machine source = sample_machine();
    Bytes bytes = saved(source, RunState::Running, Description::None);
    const std::size_t timer = find(bytes, "timer");
    SECTION("magic") {
        bytes[0] = std::byte{0};
        REQUIRE(load_error(bytes).find("magic") != std::string::npos);
    }
    SECTION("another machine") {
        bytes[find(bytes, "microvm") + 6] = std::byte{'x'};
        REQUIRE(load_error(bytes) == "configuration: machine 'microvx' in the stream, 'microvm' here");
    }
    SECTION("unknown") {
        bytes[timer] = std::byte{'x'};
        REQUIRE(load_error(bytes) == "section 'ximer' is in the stream, but this machine has none");
    }
    SECTION("unknown instance") {
        bytes[timer + 8] = std::byte{9};
        REQUIRE(load_error(bytes) == "section 'timer#9' is in the stream, but this machine has none");
    }
    SECTION("repeated") {
        bytes[timer + 8] = std::byte{1};
        REQUIRE(load_error(bytes) == "section 'timer#1' is in the stream twice");
    }
    SECTION("too new") {
        bytes[timer + 12] = std::byte{3};
        REQUIRE(load_error(bytes) == "section 'timer' has version 3, 1 to 2 are known here");
    }
    SECTION("too old") {
        bytes[timer + 12] = std::byte{0};
        REQUIRE(load_error(bytes) == "section 'timer' has version 0, 1 to 2 are known here");
    }
    SECTION("footer id") {
        bytes[timer + 41] = std::byte{9};
        REQUIRE(load_error(bytes) == "section 'timer' has id 1, its footer 9");
    }
    SECTION("field in a nested struct") {
        bytes[find(bytes, "device") + 14] = std::byte{2};
        REQUIRE(load_error(bytes) == "section '0000:00:01.0/device': device.started: 2 is not a truth value");
    }
    SECTION("run state") {
        bytes[find(bytes, "running")] = std::byte{'x'};
        REQUIRE(load_error(bytes) == "section 'globalstate': globalstate: unknown run state 'xunning'");
    }
    SECTION("bytes after the end") {
        bytes.push_back(std::byte{0});
        REQUIRE(load_error(bytes) == "0x00 follows the end of the stream");
    }
    SECTION("bytes after the description") {
        Bytes described = saved(source);
        described.push_back(std::byte{' '});
        REQUIRE(load_error(described).starts_with("bytes follow the description"));
    }
    SECTION("RAM where there is none") {
        const std::uint8_t start[] = {1, 0, 0, 0, 2, 3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 0, 4};
        const auto raw = std::as_bytes(std::span{start});
        bytes.insert(bytes.begin() + 20, raw.begin(), raw.end());
        REQUIRE(load_error(bytes) == "the stream has a RAM section where only device state may be");
    }
    SECTION("a stream that ends early looks complete to a careless reader") {
        bytes.resize(20);
        bytes.push_back(std::byte{0});
        REQUIRE(load_error(bytes) == "section 'timer' is missing in the stream");
    }
}

TEST_CASE("only a section that is needed must be there", "[wire]") {
    Machine source = sample_machine();
    source.second.is_needed = false;
    const Bytes bytes = saved(source);
    REQUIRE(load_error(bytes) == "section 'timer#1' is missing in the stream");
    Machine destination;
    destination.second.is_needed = false;
    REQUIRE(loaded(destination, bytes).ok());
}

TEST_CASE("a QEMU's configuration subsections are understood", "[wire]") {
    Machine source = sample_machine();
    Bytes bytes = saved(source);
    const auto with = [&](std::string_view name, auto number) {
        ByteWriter out;
        out.be(std::uint8_t{5});
        out.be(static_cast<std::uint8_t>(name.size()));
        out.append(name);
        out.be(std::uint32_t{1});
        if (name.ends_with("uuid"))
            out.zeros(16);
        else
            out.be(static_cast<std::uint32_t>(number));
        Bytes whole = bytes;
        whole.insert(whole.begin() + 20, out.bytes().begin(), out.bytes().end());
        return load_error(whole);
    };
    REQUIRE(with("configuration/target-page-bits", 12) == "accepted");
    REQUIRE(with("configuration/target-page-bits", 13) ==
            "configuration: pages of 2^13 bytes in the stream, 2^12 here");
    REQUIRE(with("configuration/uuid", 0) == "accepted");
    REQUIRE(with("configuration/capabilities", 0) == "accepted");
    REQUIRE(with("configuration/capabilities", 65) == "configuration: 65 capabilities, at most 64 can be");
    REQUIRE(with("configuration/other", 0) == "configuration: unknown subsection 'configuration/other'");
}

TEST_CASE("the description folds equal elements and tells repeated names apart", "[wire]") {
    Machine source = sample_machine();
    StateWriter writer{"device", 1};
    writer.fields(source.device.state);
    writer.value("status", std::uint8_t{1});
    const std::string json = describe({{"0000:00:01.0/device", 0, "device", 1, writer.description()}});
    REQUIRE(
        json ==
        R"({"page_size": 4096, "devices": [{"name": "0000:00:01.0/device", "instance_id": 0, )"
        R"("vmsd_name": "device", "version": 1, "fields": [{"name": "started", "type": "bool", "size": 1}, )"
        R"({"name": "queues", "array_len": 3, "type": "struct", "struct": {"vmsd_name": "queue", )"
        R"("version": 1, "fields": [{"name": "index", "type": "uint16", "size": 2}, )"
        R"({"name": "ring", "type": "uint64", "size": 8}]}, "size": 10}, )"
        R"({"name": "vectors", "array_len": 4, "type": "uint16", "size": 2}, )"
        R"({"name": "mac", "type": "buffer", "size": 6}, {"name": "status", "type": "uint8", "size": 1}, )"
        R"({"name": "status[1]", "type": "uint8", "size": 1}], "subsections": [{"vmsd_name": "device/extra", )"
        R"("version": 1, "fields": [{"name": "value", "type": "uint32", "size": 4}]}]}]})");
}

TEST_CASE("elements that differ are described one by one", "[wire]") {
    StateWriter writer{"device", 1};
    for (std::size_t i = 0; i < 2; ++i) {
        const auto nesting = writer.begin_struct("element", "element", 1, i);
        if (i == 1)
            writer.value("more", std::uint8_t{1});
        writer.end(nesting);
    }
    const std::string json = describe({{"device", 0, "device", 1, writer.description()}});
    REQUIRE(json.find("array_len") == std::string::npos);
    REQUIRE(json.find(R"("name": "element", "index": 0)") != std::string::npos);
    REQUIRE(json.find(R"("name": "element", "index": 1)") != std::string::npos);
}

} // namespace wire_test
