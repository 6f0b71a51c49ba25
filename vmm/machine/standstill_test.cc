// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/standstill.h"

#include <catch2/catch.hpp>

using namespace godwit;
using Catch::Matchers::Contains;

TEST_CASE("what was so when a guest stopped survives its text", "[standstill]") {
    const Standstill all{1'700'000'000'000'000'001,
                         {{"disk0", 1 << 20, 1'600'000'000'123'456'789}, {"disk \"1\"", 5, std::nullopt}}};
    for (const Standstill& one : {all, Standstill{}, Standstill{0, {}}})
        REQUIRE(parse_standstill(to_json(one)).value() == one);
    REQUIRE(parse_standstill("").value() == Standstill{});
    REQUIRE(parse_standstill(R"({"later": [1, {"releases": true}]})").value() == Standstill{});
}

TEST_CASE("a text that says nothing of a guest is refused by what is wrong in it", "[standstill]") {
    for (const auto& [text, word] : {std::pair{"[]", "not a JSON object"},
                                     {"{", "not a JSON object"},
                                     {R"({"stopped": -1})", "'stopped' is not a number"},
                                     {R"({"stopped": 5000000000000000000})", "is no time"},
                                     {R"({"disks": {}})", "'disks' is not a list"},
                                     {R"({"disks": [1]})", "entry 0 of 'disks': not an object"},
                                     {R"({"disks": [{"id": 1}]})", "'id' is not a string"},
                                     {R"({"disks": [{"id": "a"}]})", "'bytes' is not a number"}}) {
        INFO(text);
        const auto parsed = parse_standstill(text);
        REQUIRE_FALSE(parsed.ok());
        REQUIRE_THAT(parsed.error().text, Contains(word));
    }
    REQUIRE_FALSE(parse_standstill(std::string(std::size_t{2} << 20, ' ')).ok());
}

TEST_CASE("a disk that was written since is told by name", "[standstill]") {
    const std::vector<DiskContent> then{{"a", 10, 100}, {"b", 20, 200}, {"raw", 30, std::nullopt}};
    auto now = then;
    REQUIRE(check_unchanged(then, now).ok());
    std::swap(now[0], now[1]);
    REQUIRE(check_unchanged(then, now).ok());
    now[0].modified = 201;
    now[1].bytes = 11;
    const auto refused = check_unchanged(then, now);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::Incompatible);
    CHECK_THAT(refused.error().text, Contains("'a' had 10 bytes, and has 11") &&
                                         Contains("'b' was last written at 0.000000200, its file says "
                                                  "0.000000201") &&
                                         Contains("--disks-changed"));
    now = then;
    now[2].modified = 1;
    CHECK_THAT(check_unchanged(then, now).error().text, Contains("'raw' was a block device, and is a file"));
    CHECK(check_unchanged(then, {}).ok());
}
