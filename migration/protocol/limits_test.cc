// SPDX-License-Identifier: Apache-2.0
//
// Bodies at the limits that docs/limits.md names, and one beyond.
#include "migration/protocol/message.h"
#include "migration/protocol/payloads.h"
#include "migration/wire/format.h"
#include "vmm/base/bytes.h"

#include <catch2/catch.hpp>

namespace godwit::migration {

namespace {

constexpr std::uint64_t kRam = std::uint64_t{1} << 30;

bool ram_is_taken(std::uint32_t pages) {
    const PageRun run{RamOffset{0}, pages};
    const std::vector<std::uint32_t> sums(pages);
    return decode_ram(encode_ram({&run, 1}, sums), static_cast<std::uint32_t>(pages * kPageSize), kRam).ok();
}

bool zeros_are_taken(std::size_t ranges) {
    std::vector<PageRun> runs;
    for (std::size_t i = 0; i < ranges; ++i)
        runs.push_back({RamOffset{2 * i * kPageSize}, 1});
    return decode_zero(encode_zero(runs), kRam).ok();
}

bool sums_are_taken(std::size_t count) {
    return decode_verify(encode_verify(0, std::vector<std::uint32_t>(count))).ok();
}

Hello hello() {
    Hello made;
    made.version = kProtocolVersion;
    made.machine.board = "a board";
    made.machine.memory = kRam;
    made.machine.cpu.cpuid = {{0}, {1}};
    return made;
}

bool is_taken(const Hello& made) {
    return decode_hello(encode(made)).ok();
}

} // namespace

TEST_CASE("pages, ranges and sums of a frame end at their limits", "[protocol][limits]") {
    CHECK(ram_is_taken(kPagesPerFrame));
    CHECK_FALSE(ram_is_taken(kPagesPerFrame + 1));
    CHECK(zeros_are_taken(kRangesPerFrame));
    CHECK_FALSE(zeros_are_taken(kRangesPerFrame + 1));
    CHECK(sums_are_taken(kDigestsPerFrame));
    CHECK_FALSE(sums_are_taken(kDigestsPerFrame + 1));
}

TEST_CASE("devices, queues, codes and names of a HELLO end at their limits", "[protocol][limits]") {
    REQUIRE(is_taken(hello()));
    SECTION("devices") {
        Hello made = hello();
        made.machine.devices.resize(kMaxDevices);
        CHECK(is_taken(made));
        made.machine.devices.emplace_back();
        CHECK_FALSE(is_taken(made));
    }
    SECTION("queues") {
        Hello made = hello();
        made.machine.devices.emplace_back().queue_sizes.resize(kMaxQueues);
        CHECK(is_taken(made));
        made.machine.devices.front().queue_sizes.push_back(1);
        CHECK_FALSE(is_taken(made));
    }
    SECTION("codes that are accepted, and their length") {
        Hello made = hello();
        made.accepted.assign(kMaxAccepted, std::string(kMaxCode, 'c'));
        CHECK(is_taken(made));
        Bytes body = encode(made); // version, capabilities, id, purpose, connections, and then their number
        store_le(std::span{body}.subspan(4 + 8 + 16 + 1 + 4, 4), kMaxAccepted + 1);
        CHECK_THAT(decode_hello(body).error().text, Catch::Contains("65 reasons"));
        made.accepted = {std::string(kMaxCode + 1, 'c')};
        CHECK_FALSE(is_taken(made));
    }
    SECTION("connections") {
        Hello made = hello();
        made.connections = kMaxConnections;
        CHECK(is_taken(made));
        made.connections = kMaxConnections + 1;
        CHECK_FALSE(is_taken(made));
    }
}

TEST_CASE("device state, its trace and reasons end at their limits", "[protocol][limits]") {
    SECTION("state") {
        const Bytes most(wire::kMaxStateBytes), more(wire::kMaxStateBytes + 1);
        CHECK(decode_state(encode(StateBody{{}, most})).ok());
        CHECK_FALSE(decode_state(encode(StateBody{{}, more})).ok());
    }
    SECTION("what is too long of our own trace is left out") {
        const StateBody long_one{std::vector<std::string>(3, std::string(kMaxTraceBytes / 2, 't')), {}};
        CHECK(decode_state(encode(long_one)).value().trace.size() == 1);
    }
    SECTION("what is too long of the peer's is refused") {
        Bytes body = encode(StateBody{{"step"}, {}});
        // Its length stands first (payloads.cc).
        body[0] = body[1] = body[2] = std::byte{0xff};
        CHECK_FALSE(decode_state(body).ok());
    }
    SECTION("steps beyond the limit are left out") {
        const StateBody many{std::vector<std::string>(kMaxTraceSteps + 10, "s"), {}};
        CHECK(decode_state(encode(many)).value().trace.size() == kMaxTraceSteps);
    }
    SECTION("a reason") {
        const Error at_limit = error(ErrorCode::Corrupt, "{}", std::string(kMaxErrorText, 'r'));
        CHECK(decode_error(encode_error(at_limit)).text.ends_with(std::string(kMaxErrorText, 'r')));
        Bytes body = encode_error(at_limit); // its code, and the text with its length
        store_le(std::span{body}.subspan(4, 4), static_cast<std::uint32_t>(kMaxErrorText + 1));
        body.push_back(std::byte{'r'});
        CHECK_THAT(decode_error(body).text, Catch::Contains("error text"));
    }
}

} // namespace godwit::migration
