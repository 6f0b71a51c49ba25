// SPDX-License-Identifier: Apache-2.0
//
// The inspector on streams of our writer, on a virtio payload as a QEMU describes it, and on damaged bytes.
#include "migration/inspect/compare.h"
#include "migration/inspect/cursor.h"
#include "migration/inspect/description.h"
#include "migration/inspect/inspector.h"
#include "migration/inspect/render.h"
#include "migration/inspect/values.h"
#include "migration/inspect/walker.h"
#include "migration/wire/sample_stream.h"
#include "vmm/base/json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::inspect;
using namespace godwit::migration::test;

namespace {

using Bytes = std::vector<std::byte>;

View view_of(std::span<const std::byte> bytes, bool pages = false) {
    BytesSource source{bytes};
    auto view = inspect::inspect(source, {.pages = pages});
    REQUIRE(view.ok());
    return std::move(view).value();
}

using Content = SampleContent;

Bytes stream(const Content& content = {}, bool with_sums = false) {
    return sample_stream(content, with_sums);
}

std::map<std::string, std::string> values(const View& view, const Section& section) {
    std::map<std::string, std::string> values;
    each_leaf(view, section.fields, true, [&](const std::string& path, const inspect::Field& field) {
        values[path] = value_text(view, field);
    });
    return values;
}

std::size_t find(const Bytes& bytes, std::string_view text) {
    const auto wanted = std::as_bytes(std::span{text});
    return static_cast<std::size_t>(std::ranges::search(bytes, wanted).begin() - bytes.begin());
}

} // namespace

TEST_CASE("sections, fields and RAM of a stream are found", "[inspect]") {
    const Bytes bytes = stream();
    const View view = view_of(bytes);
    REQUIRE(view.problems.empty());
    REQUIRE(view.machine == "microvm");
    REQUIRE(view.size == bytes.size());
    REQUIRE(view.ram.has_value());
    REQUIRE(view.ram->complete);
    REQUIRE(view.ram->blocks.size() == 1);
    REQUIRE(view.ram->blocks[0].data_pages == 2);
    REQUIRE(view.ram->blocks[0].zero_pages == 1);
    REQUIRE(view.sections.size() == 3);
    REQUIRE(view.sections[0].offset == view.ram->offset + view.ram->size);
    REQUIRE(view.sections[1].offset == view.sections[0].offset + view.sections[0].size);
    REQUIRE(view.sections[2].offset + view.sections[2].size + 1 == view.description_offset);
    REQUIRE(view.sections[1].record == "device");
    REQUIRE(view.order.front() == "timer: save");

    const auto timer = values(view, view.sections[0]);
    REQUIRE(timer.at("cpu_ticks_offset") == "-5");
    REQUIRE(timer.at("cpu_clock_offset") == "2");
    const auto device = values(view, view.sections[1]);
    REQUIRE(device.at("started") == "true");
    REQUIRE(device.at("queues[2].ring") == "0x3000 (12288)");
    REQUIRE(device.at("vectors") == "1, 2, 3, 0xffff");
    REQUIRE(device.at("mac") == "52:54:00:01:02:03");
    REQUIRE(device.at("device/extra.value") == "0x12345678 (305419896)");
    REQUIRE(values(view, view.sections[2]).at("runstate") == "\"running\"");

    const std::string text = render_text(view, {.file = "f"});
    REQUIRE(text.find("queues[2].ring") != std::string::npos);
    const auto json = parse_json(render_json(view, {.file = "f"}));
    REQUIRE(json.at("sections")[1].at("fields")[1].at("fields")[1].at("value") == 0x1000);
    REQUIRE(json.at("sections")[1].at("subsections")[0].at("name") == "device/extra");
    REQUIRE(json.at("ram").at("blocks")[0].at("data_pages") == 2);
}

TEST_CASE("neighbouring elements that are equal are shown once", "[inspect]") {
    Content content;
    content.device.queues = {QueueState{1, 2}, QueueState{0, 0}, QueueState{0, 0}};
    const View view = view_of(stream(content));
    const auto device = values(view, view.sections[1]);
    REQUIRE(device.contains("queues[0].ring"));
    REQUIRE(device.contains("queues[1..2].ring"));
}

TEST_CASE("two streams are compared field by field and page by page", "[inspect]") {
    const View first = view_of(stream(), true);
    REQUIRE(compare(first, view_of(stream(), true)).same());
    Content other;
    other.clock = 3;
    other.page = std::byte{0xac};
    other.device.extra.reset();
    other.device.vectors[2] = 9;
    const Comparison found = compare(first, view_of(stream(other), true));
    REQUIRE(found.differences.size() == 3);
    REQUIRE(found.differences[0].section == "timer");
    REQUIRE(found.differences[0].field == "cpu_clock_offset");
    REQUIRE(found.differences[0].first == "2");
    REQUIRE(found.differences[0].second == "3");
    REQUIRE(found.differences[1].field == "vectors[2]");
    REQUIRE(found.differences[2].field == "device/extra.value");
    REQUIRE(found.differences[2].second.empty());
    REQUIRE(found.ram.size() == 1);
    REQUIRE(found.ram[0].differing == 2);
    REQUIRE(found.ram[0].ranges.size() == 2);
    REQUIRE(found.ram[0].ranges[1].first == 2);
    REQUIRE(comparison_text(found, "a", "b").find("2 of 3 pages differ") != std::string::npos);
    REQUIRE(parse_json(comparison_json(found, "a", "b")).at("differences").size() == 3);
}

TEST_CASE("check sums are compared", "[inspect]") {
    Bytes bytes = stream({}, true);
    View view = view_of(bytes);
    REQUIRE(view.sums.has_value());
    REQUIRE(view.sums->damaged == 0);
    REQUIRE(view.problems.empty());
    bytes[view.ram->offset + 100] ^= std::byte{1};
    view = view_of(bytes);
    REQUIRE(view.sums->damaged == 1);
    REQUIRE(view.problems.size() == 1);
    REQUIRE(view.problems[0].text.starts_with("bytes 0 to "));
    REQUIRE_FALSE(view_of(stream()).sums.has_value());
}

TEST_CASE("without a description sections are still listed", "[inspect]") {
    Bytes bytes = stream();
    bytes.resize(view_of(bytes).description_offset);
    const View view = view_of(bytes);
    REQUIRE(view.sections.size() == 3);
    REQUIRE(view.sections[1].name == "0000:00:01.0/device");
    REQUIRE(view.sections[1].fields.empty());
    REQUIRE(view.problems.size() == 1);
}

TEST_CASE("damage is named with its place and the rest is shown", "[inspect]") {
    Bytes bytes = stream();
    const View whole = view_of(bytes);
    SECTION("in a subsection's name") {
        bytes[find(bytes, "device/extra") + 1] = std::byte{'x'};
        const View view = view_of(bytes);
        REQUIRE(view.problems.size() == 1);
        REQUIRE(view.problems[0].text.find("device/extra") != std::string::npos);
        REQUIRE(view.sections.size() == 3);
        REQUIRE_FALSE(view.sections[1].decoded);
        REQUIRE(values(view, view.sections[1]).contains("vectors"));
        REQUIRE(view.sections[2].decoded);
    }
    SECTION("in a RAM record") {
        bytes[whole.ram->offset + 13 + 4 + 8 + 12 + 8 + 13 + 5 + 5] = std::byte{0xff};
        const View view = view_of(bytes);
        REQUIRE(view.problems[0].text.starts_with("ram: "));
        REQUIRE_FALSE(view.ram->complete);
        REQUIRE(view.sections.size() == 3); // found behind it
        REQUIRE(view.sections[1].decoded);
    }
    SECTION("a stream that is cut, anywhere") {
        for (std::size_t length = 8; length < bytes.size(); ++length) {
            BytesSource source{std::span{bytes}.first(length)};
            const auto view = inspect::inspect(source, {});
            CAPTURE(length);
            REQUIRE((!view.ok() || !view->problems.empty()));
        }
    }
    SECTION("any bit") { // nothing is asked but to come back
        const std::size_t from = whole.sections[0].offset;
        for (std::size_t bit = from * 8; bit < bytes.size() * 8; ++bit) {
            bytes[bit / 8] ^= std::byte{1} << (bit % 8);
            render_text(view_of(bytes), {.file = "f"});
            bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        }
    }
    SECTION("no stream at all") {
        const Bytes other(100, std::byte{'x'});
        BytesSource source{other};
        REQUIRE(inspect::inspect(source, {}).error().text.find("magic") != std::string::npos);
    }
}

TEST_CASE("a hostile description is refused before it costs anything", "[inspect]") {
    const auto refused = [](const std::string& json, std::string_view why) {
        const auto outcome = parse_description(json);
        REQUIRE_FALSE(outcome.ok());
        REQUIRE(outcome.error().text.find(why) != std::string::npos);
    };
    refused(std::string(100000, '['), "nested");
    refused("[" + std::string(3000000, ','), "values");
    refused("{}", "devices");
    refused("nonsense", "not JSON");
    refused(R"({"devices": [{"name": "x", "instance_id": -1}]})", "instance_id");
    refused(R"({"devices": [{"name": "x", "instance_id": 0, "fields": [{"name": "a"}]}]})", "type");

    // Counts that the bytes do not have, and fields without bytes.
    const auto walked = [](const std::string& fields) {
        const auto parsed = parse_description(R"({"devices": [{"name": "x", "instance_id": 0, "fields": [)" +
                                              fields + "]}]}");
        REQUIRE(parsed.ok());
        const Bytes body(64);
        std::size_t budget = 1000;
        Cursor in{body, 0, budget};
        return walk(in, parsed->sections[0].description, "x").ok();
    };
    REQUIRE(walked(R"({"name": "a", "type": "uint32", "size": 4, "array_len": 16})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "uint32", "size": 4, "array_len": 17})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "uint32", "size": 4, "array_len": 4611686018427387905})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "buffer", "size": 4, "array_len": 4611686018427387905})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "buffer", "size": 18446744073709551615})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "struct", "size": 0, "array_len": 1000000,)"
                         R"("struct": {"vmsd_name": "s", "fields": []}})"));
    REQUIRE_FALSE(
        walked(R"({"name": "a", "type": "struct", "size": 8,)"
               R"("struct": {"vmsd_name": "s", "fields": [{"name": "b", "type": "uint32", "size": 4}]}})"));
    REQUIRE_FALSE(walked(R"({"name": "a", "type": "virtio", "size": 65})"));
    REQUIRE(walked(R"({"name": "a", "type": "virtio", "size": 64})")); // no virtio device: bytes
    std::string many = R"({"name": "a", "type": "buffer", "size": 0})";
    for (int i = 0; i < 1000; ++i)
        many += R"(,{"name": "a", "type": "buffer", "size": 0})";
    REQUIRE_FALSE(walked(many));
}
