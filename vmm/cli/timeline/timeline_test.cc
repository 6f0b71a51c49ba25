// SPDX-License-Identifier: Apache-2.0
//
// Timeline files are read as documented, what is wrong is named with its line, and the picture is XML that
// has what the file says.
#include "vmm/cli/timeline/chart.h"
#include "vmm/cli/timeline/timeline_data.h"
#include "vmm/cli/timeline/timeline_svg.h"

#include <catch2/catch.hpp>

#include <vector>

using namespace godwit::cli;
using Catch::Contains;

namespace {

constexpr std::string_view kBegin =
    R"({"record":"begin","at":0,"version":1,"side":"source","time":"2026-01-02T03:04:05.678Z","guest":"vm0",)"
    R"("peer":"tcp:host2:7070","memory":1073741824,"cpus":2})";
constexpr std::string_view kRound =
    R"({"record":"round","at":1100,"round":1,"duration":1000,"bytes":500000000,"pages":262144,"zero-pages":140000,)"
    R"("bytes-per-second":500000000,"dirty-bytes":90000000,"dirty-bytes-per-second":90000000,)"
    R"("expected-downtime":210.5,"fixed-cost":30,"cpu-throttle-percentage":20,"stalled":false})";
constexpr std::string_view kSwitchover =
    R"({"record":"switchover","at":1190,"paused-at":1150,"downtime":38.25,"downtime-limit":300,)"
    R"("expected-downtime":210.5,"over-limit":false,"stalled":false,)"
    R"("last-round":{"round":2,"duration":20,"bytes":10000000,"pages":2500,"zero-pages":0},)"
    R"("parts":{"source":[{"part":"pause","duration":1.5},{"part":"last round","duration":20},)"
    R"({"part":"wait until ready","duration":12},{"part":"commit","duration":4}],)"
    R"("destination":[{"part":"load","duration":3},{"part":"apply","duration":5},{"part":"take over","duration":2}]}})";
constexpr std::string_view kOutcome =
    R"({"record":"outcome","at":1195,"status":"completed","total-time":1195,"bytes":510000000})";

std::string lines(std::initializer_list<std::string_view> of) {
    std::string text;
    for (const std::string_view line : of)
        text += std::string{line} + "\n";
    return text;
}

// Every element is closed, in order, and no text holds markup: as far as a picture of ours can go wrong.
void check_well_formed(const std::string& xml) {
    std::vector<std::string> open;
    for (std::size_t i = 0; i < xml.size();) {
        if (xml[i] != '<') {
            if (xml[i] == '&')
                REQUIRE_THAT(xml.substr(i, 6), Contains(";"));
            REQUIRE(xml[i] != '>');
            ++i;
            continue;
        }
        const std::size_t end = xml.find('>', i);
        REQUIRE(end != std::string::npos);
        const std::string tag = xml.substr(i + 1, end - i - 1);
        REQUIRE(tag.find('<') == std::string::npos);
        const std::string name = tag.substr(0, tag.find(' '));
        if (tag.front() == '/') {
            REQUIRE_FALSE(open.empty());
            REQUIRE("/" + open.back() == name);
            open.pop_back();
        } else if (tag.front() != '?' && tag.back() != '/') {
            open.push_back(name);
        }
        i = end + 1;
    }
    REQUIRE(open.empty());
    for (const char* nonsense : {"nan", "inf"})
        REQUIRE(xml.find(nonsense) == std::string::npos);
}

} // namespace

TEST_CASE("a timeline is read as it is documented", "[timeline]") {
    const TimelineData data =
        parse_timeline("a", lines({kBegin, R"({"record":"phase","at":3,"phase":"active"})",
                                   R"({"record":"sample","at":500,"transferred":1,"remaining":2})", kRound,
                                   "", R"({"record":"moon","at":1101,"phase":7})", kSwitchover, kOutcome}))
            .value();
    REQUIRE(data.side == "source");
    REQUIRE(data.guest == "vm0");
    REQUIRE(data.phases.size() == 1);
    REQUIRE(data.samples.size() == 1);
    REQUIRE(data.rounds.size() == 1);
    REQUIRE(data.rounds[0].begin == 100);
    REQUIRE(data.rounds[0].end == 1100);
    REQUIRE(data.rounds[0].throttle == 20);
    REQUIRE(data.switchover->downtime == 38.25);
    REQUIRE(data.switchover->source.size() == 4);
    REQUIRE(data.switchover->destination[1].name == "apply");
    REQUIRE(data.outcome->status == "completed");
    REQUIRE(data.end == 1195);
}

TEST_CASE("what is wrong in a timeline is named with file and line", "[timeline]") {
    struct Row {
        std::string text;
        const char* message;
    };
    const std::string begin{kBegin};
    const auto row = GENERATE_COPY(values<Row>({
        {"", "f: there is no record in it"},
        {"\n\n", "f: there is no record in it"},
        {"nonsense\n", "f:1: not a JSON object"},
        {"[1]\n", "f:1: not a JSON object"},
        {std::string{kRound}, "f:1: a timeline begins with a 'begin' record"},
        {begin + "\n" + begin, "f:2: a second 'begin' record"},
        {begin + "\n{\"record\":\"round\"", "f:2: not a JSON object"},
        {begin + "\n{\"at\":1}", "f:2: 'record' is missing"},
        {begin + "\n{\"record\":7,\"at\":1}", "f:2: 'record' is not a text"},
        {begin + "\n{\"record\":\"phase\"}", "f:2: 'at' is missing"},
        {begin + "\n{\"record\":\"phase\",\"at\":-1}", "f:2: 'at' is not a number that could be right"},
        {begin + "\n{\"record\":\"phase\",\"at\":1e300}", "f:2: 'at' is not a number that could be right"},
        {begin + "\n{\"record\":\"phase\",\"at\":1}", "f:2: phase: 'phase' is missing"},
        {begin + "\n\n{\"record\":\"round\",\"at\":1}", "f:3: round: 'round' is missing"},
        {begin + "\n{\"record\":\"switchover\",\"at\":1,\"paused-at\":1,\"last-round\":{\"bytes\":1},"
                 "\"parts\":[]}",
         "f:2: switchover: 'parts' is not an object"},
        {begin +
             "\n{\"record\":\"switchover\",\"at\":1,\"paused-at\":1,\"last-round\":{\"bytes\":1},\"parts\":"
             "{\"source\":[{\"part\":\"save\"}]}}",
         "f:2: switchover: parts: source: 'duration' is missing"},
        {begin + "\n{\"record\":\"outcome\",\"at\":1,\"status\":\"failed\",\"bytes\":0}",
         "f:2: outcome: 'reason' is missing"},
        {R"({"record":"begin","at":0,"version":2})", "f:1: begin: version 2 is not known here, only 1"},
        {begin + "\n\xff\xfe", "f:2: not a JSON object"},
    }));
    INFO(row.text);
    const auto parsed = parse_timeline("f", row.text);
    REQUIRE_FALSE(parsed.ok());
    REQUIRE(parsed.error().code == godwit::ErrorCode::InvalidInput);
    REQUIRE(parsed.error().text == row.message);
}

TEST_CASE("a picture has what the file says", "[timeline]") {
    const auto data = parse_timeline(
        "a",
        lines(
            {kBegin, kRound,
             R"({"record":"stall","at":1101,"round":1,"why":"x","action":"throttle","cpu-throttle-percentage":20})",
             kSwitchover, kOutcome}));
    const std::string svg = draw_timeline(data.value());
    check_well_formed(svg);
    for (const char* text :
         {"Migration of vm0 to tcp:host2:7070",
          "completed after 1195 ms, 510 MB moved in 1 round, downtime 38.2 ms", "RAM sent and remaining (MB)",
          "Rates (MB/s)", "written by the guest", "guest slowed by", "no progress: throttle",
          "paused for 38.2 ms", "round 1", "last round 20.0 ms", "take over 2.00 ms", "limit 300 ms"})
        REQUIRE_THAT(svg, Contains(text));
}

TEST_CASE("every record may be the last one, and texts may hold anything", "[timeline]") {
    const std::string nasty = R"(</text><script>\u0000&\"'\u001b[31mé)";
    std::string begin{kBegin};
    begin.replace(begin.find("vm0"), 3, nasty);
    std::string destination{kBegin};
    destination.replace(destination.find("source"), 6, "destination");
    const std::string failed =
        R"({"record":"outcome","at":1195,"status":"failed","bytes":0,"reason":")" + nasty + R"("})";
    const auto text = GENERATE_COPY(values<std::string>(
        {lines({begin}), lines({begin, kRound}), lines({begin, kRound, kSwitchover}),
         lines({begin, kSwitchover, kOutcome}), lines({begin, failed}),
         lines({destination, kSwitchover, kOutcome}),
         lines({destination, R"({"record":"phase","at":3,"phase":"<active>"})", failed}),
         lines({begin, R"({"record":"sample","at":1e18,"transferred":1e18,"remaining":0})"})}));
    const std::string svg = draw_timeline(parse_timeline("a", text).value());
    check_well_formed(svg);
    REQUIRE(svg.find("<script") == std::string::npos);
    REQUIRE(svg.find('\x1b') == std::string::npos);
}

TEST_CASE("ticks are round numbers within the axis", "[timeline]") {
    REQUIRE(round_ticks(10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
    REQUIRE(round_ticks(1, 4) == std::vector<double>{0, 0.5, 1});
    for (const double most : {0.001, 0.7, 3.0, 99.0, 1e6, 1e18}) {
        const auto ticks = round_ticks(most, 8);
        CAPTURE(most);
        REQUIRE(ticks.size() >= 4);
        REQUIRE(ticks.size() <= 9);
        REQUIRE(ticks.back() <= most * 1.001);
    }
}
