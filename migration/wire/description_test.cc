// SPDX-License-Identifier: Apache-2.0
//
// The description must let a reader that knows no device walk the stream: this one does it by the same rules
// as scripts/analyze-migration.py of QEMU 7.2.
#include "migration/wire/save_load.h"
#include "migration/wire/test_sections.h"
#include "vmm/base/bytes.h"
#include "vmm/base/json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace description_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using nlohmann::json;

namespace {

std::string text(ByteReader& in, std::size_t length) {
    const auto bytes = std::move(in.take(length)).value();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string short_text(ByteReader& in) {
    return text(in, in.be<std::uint8_t>().value());
}

// Walks the fields of one record and its subsections; notes the values of integers by path.
void walk(ByteReader& in, const json& record, const std::string& path,
          std::map<std::string, std::uint64_t>& values) {
    std::map<std::string, std::size_t> elements;
    for (const json& field : record.at("fields")) {
        const std::string name = field.at("name");
        const std::size_t count = field.value("array_len", std::size_t{1});
        const bool indexed = field.contains("index") || field.contains("array_len");
        if (field.contains("index"))
            REQUIRE(field.at("index") == elements[name]);
        else
            REQUIRE(elements[name] == 0); // a name comes once
        for (std::size_t i = 0; i < count; ++i) {
            const std::string here =
                indexed ? fmt::format("{}.{}[{}]", path, name, elements[name]) : path + "." + name;
            ++elements[name];
            if (field.at("type") == "struct") {
                const std::size_t before = in.offset();
                walk(in, field.at("struct"), here, values);
                REQUIRE(in.offset() - before == field.at("size"));
                continue;
            }
            std::uint64_t value = 0;
            for (const std::byte byte : std::move(in.take(field.at("size"))).value())
                value = value << 8 | static_cast<std::uint64_t>(byte);
            values[here] = value;
        }
    }
    for (const json& subsection : record.value("subsections", json::array())) {
        REQUIRE(in.be<std::uint8_t>().value() == 5);
        REQUIRE(short_text(in) == subsection.at("vmsd_name"));
        REQUIRE(in.be<std::uint32_t>().value() == subsection.at("version"));
        walk(in, subsection, path + "." + subsection.at("vmsd_name").get<std::string>(), values);
    }
}

} // namespace

TEST_CASE("the stream can be walked with nothing but its description", "[wire]") {
    TestSection<TimerState> timer{TimerState{1, 2}};
    TestSection<DeviceState> device{sample_device(), "0000:00:01.0/"};
    TestSection<TimerState> second{TimerState{3, 4}, "", 1};
    StateSection* const sections[] = {&timer, &device, &second};
    OrderTrace trace;
    const auto bytes = std::move(wire::save_state(sections, RunState::Running, trace)).value();

    // The description starts at the first brace behind the last NUL.
    const auto nul = std::find(bytes.rbegin(), bytes.rend(), std::byte{0}).base();
    const auto brace = std::find(nul, bytes.end(), std::byte{'{'});
    const auto start = static_cast<std::size_t>(brace - bytes.begin());
    REQUIRE(bytes[start - 5] == std::byte{6});
    REQUIRE(load_be<std::uint32_t>(std::span{bytes}.subspan(start - 4)) == bytes.size() - start);
    const std::string raw{reinterpret_cast<const char*>(bytes.data()) + start, bytes.size() - start};
    const json description = parse_json(raw);
    REQUIRE(description.at("page_size") == 4096);

    ByteReader in{bytes};
    REQUIRE(in.be<std::uint32_t>().value() == 0x5145564d);
    REQUIRE(in.be<std::uint32_t>().value() == 3);
    REQUIRE(in.be<std::uint8_t>().value() == 7);
    REQUIRE(text(in, in.be<std::uint32_t>().value()) == "microvm");
    std::map<std::string, std::uint64_t> values;
    for (const json& one : description.at("devices")) {
        REQUIRE(in.be<std::uint8_t>().value() == 4);
        const auto id = in.be<std::uint32_t>().value();
        REQUIRE(short_text(in) == one.at("name"));
        REQUIRE(in.be<std::uint32_t>().value() == one.at("instance_id"));
        REQUIRE(in.be<std::uint32_t>().value() == one.at("version"));
        walk(in, one, one.at("name").get<std::string>() + std::to_string(one.at("instance_id").get<int>()),
             values);
        REQUIRE(in.be<std::uint8_t>().value() == 0x7e);
        REQUIRE(in.be<std::uint32_t>().value() == id);
    }
    REQUIRE(in.be<std::uint8_t>().value() == 0);
    REQUIRE(in.offset() == start - 5);
    REQUIRE(values.at("timer1.cpu_clock_offset") == 4);
    REQUIRE(values.at("0000:00:01.0/device0.queues[2].ring") == 0x3000);
    REQUIRE(values.at("0000:00:01.0/device0.vectors[3]") == 0xffff);
    REQUIRE(values.at("0000:00:01.0/device0.device/extra.value") == 0x12345678);
    REQUIRE(values.at("globalstate0.size") == 8);
}

} // namespace description_test
