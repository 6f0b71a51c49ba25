// SPDX-License-Identifier: Apache-2.0
#include "migration/cost.h"
#include "migration/policy.h"

#include <catch2/catch.hpp>

#include <utility>
#include <vector>

namespace policy_test {

using namespace godwit::migration;
using namespace std::chrono_literals;

namespace {
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kPagesPerGiB = kGiB / 4096;
} // namespace

TEST_CASE("the guest is paused when the forecast is within the limit", "[policy]") {
    struct Row {
        std::uint64_t bytes;
        std::chrono::microseconds duration;
        std::uint64_t dirty_pages;
        Verdict verdict;
        std::chrono::milliseconds expected;
    };
    // Limit 300 ms, of which 30 ms are fixed.
    const auto row = GENERATE(values<Row>({
        {kGiB, 1s, 0, Verdict::SwitchOver, 30ms},                 // nothing left
        {0, 1ms, 0, Verdict::SwitchOver, 30ms},                   // nothing sent, nothing left
        {kGiB, 1s, kPagesPerGiB / 4, Verdict::SwitchOver, 280ms}, // a quarter of a second
        {kGiB, 1s, kPagesPerGiB / 2, Verdict::Continue, 530ms},   // half of one
        {kGiB, 4s, kPagesPerGiB / 8, Verdict::Continue, 530ms},   // slower channel
        {64 * kMiB, 1s, 1024, Verdict::SwitchOver, 92ms},         // 4 MiB at 64 MiB/s
        {0, 1s, 1, Verdict::Continue, 3'600'030ms},               // no rate known: never
    }));
    CAPTURE(row.bytes, row.dirty_pages);
    const Decision decision =
        Policy{{}}.after_round({row.bytes, row.duration, row.dirty_pages, row.duration}, {});
    REQUIRE(decision.verdict == row.verdict);
    REQUIRE(std::chrono::duration_cast<std::chrono::milliseconds>(decision.expected_downtime) ==
            row.expected);
}

TEST_CASE("the limit is the operator's", "[policy]") {
    Parameters wanted;
    wanted.downtime_limit = 1s;
    PolicyOptions options;
    REQUIRE(Policy{options}.after_round({kGiB, 1s, kPagesPerGiB / 2, 1s}, wanted).verdict ==
            Verdict::SwitchOver);
    options.fixed_cost = 600ms;
    REQUIRE(Policy{options}.after_round({kGiB, 1s, kPagesPerGiB / 2, 1s}, wanted).verdict ==
            Verdict::Continue);
}

TEST_CASE("the forecast has the way of the messages in it, twice there and back", "[policy]") {
    const Decision decision = Policy{{}}.after_round({kGiB, 1s, kPagesPerGiB / 5, 1s, 40ms}, {});
    REQUIRE(decision.fixed_cost == 110ms);
    REQUIRE(std::chrono::duration_cast<std::chrono::milliseconds>(decision.expected_downtime) == 309ms);
    REQUIRE(decision.verdict == Verdict::Continue);
}

TEST_CASE("what a process has measured replaces its guesses, part by part", "[policy]") {
    CostMemory costs;
    REQUIRE(costs.forecast() == 30ms);
    Report failed; // at the source, before the destination was ready
    failed.pause = 2ms;
    failed.save = 1ms;
    costs.learn(failed);
    REQUIRE(costs.forecast() == 20ms);
    Report arrived; // at the destination
    arrived.load = 1ms;
    arrived.apply = 2ms;
    arrived.take_over = 3ms;
    costs.learn(arrived);
    REQUIRE(costs.forecast() == 11ms);
    costs.learn({});
    REQUIRE(costs.forecast() == 11ms);
}

TEST_CASE("small rounds do not lower the rate that large ones showed", "[policy]") {
    Policy policy{{}};
    REQUIRE(policy.after_round({kGiB, 1s, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB));
    REQUIRE(policy.after_round({4096, 1ms, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB));
    REQUIRE(policy.after_round({kGiB, 2s, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB * 0.625));
}

TEST_CASE("dirty pages a second are counted over their own period", "[policy]") {
    REQUIRE(Policy{{}}.after_round({kGiB, 1s, 5000, 2s}, {}).dirty_pages_per_second == Approx(2500));
}

namespace {

// What rounds leave to be sent, in MiB, at 100 MiB a second each, and what comes of it.
struct Story {
    const char* name;
    OnStall on_stall;
    std::vector<std::uint64_t> left;
    std::uint32_t declared_in;           // the round in which the stall is first declared, or 0
    Verdict verdict;                     // of the last round; before it, Continue
    std::vector<std::uint32_t> throttle; // after each round
};

RoundSample sample_of(std::uint64_t left_mib) {
    return {100 * kMiB, 1s, left_mib * kMiB / 4096, 1s};
}

} // namespace

TEST_CASE("a stall is declared within three rounds and acted on as told", "[policy]") {
    // Limit 300 ms, of which 30 ms are fixed: 27 MiB may be left.
    const auto story = GENERATE(values<Story>({
        {"halving",
         OnStall::Throttle,
         {800, 400, 200, 100, 50, 25},
         0,
         Verdict::SwitchOver,
         {0, 0, 0, 0, 0, 0}},
        {"a tenth a round is progress", OnStall::Cancel, {100, 90, 81, 72, 64, 57}, 0, Verdict::Continue, {}},
        {"a tenth in two rounds too", OnStall::Cancel, {100, 95, 90, 85, 81, 77}, 0, Verdict::Continue, {}},
        {"one bad round is no stall", OnStall::Cancel, {100, 150, 80, 90, 70, 75}, 0, Verdict::Continue, {}},
        {"cancel", OnStall::Cancel, {100, 100, 100}, 3, Verdict::GiveUp, {0, 0, 0}},
        {"cancel, ever more", OnStall::Cancel, {100, 200, 400}, 3, Verdict::GiveUp, {}},
        {"cancel, later", OnStall::Cancel, {800, 400, 390, 395}, 4, Verdict::GiveUp, {}},
        {"switch", OnStall::Switch, {100, 100, 100}, 3, Verdict::SwitchOver, {0, 0, 0}},
        {"throttle: each round without progress is a step",
         OnStall::Throttle,
         {100, 100, 100, 100, 100, 100},
         3,
         Verdict::Continue,
         {0, 0, 20, 30, 40, 50}},
        {"throttle: progress keeps the step",
         OnStall::Throttle,
         {100, 100, 100, 80, 60, 40, 20},
         3,
         Verdict::SwitchOver,
         {0, 0, 20, 20, 20, 20, 20}},
        {"throttle: and when it ends, the next step comes",
         OnStall::Throttle,
         {100, 100, 100, 80, 80, 80},
         3,
         Verdict::Continue,
         {0, 0, 20, 20, 20, 30}},
    }));
    INFO(story.name);
    Parameters wanted;
    wanted.on_stall = story.on_stall;
    Policy policy{{}};
    std::uint32_t declared_in = 0;
    for (std::size_t i = 0; i < story.left.size(); ++i) {
        const std::size_t round = i + 1;
        CAPTURE(round);
        const Decision decision = policy.after_round(sample_of(story.left[i]), wanted);
        REQUIRE(decision.verdict == (round == story.left.size() ? story.verdict : Verdict::Continue));
        if (i < story.throttle.size())
            REQUIRE(decision.throttle == story.throttle[i]);
        if (decision.declared && declared_in == 0)
            declared_in = static_cast<std::uint32_t>(round);
        REQUIRE(decision.declared != decision.why.empty());
        REQUIRE_FALSE((decision.declared && !decision.stalled));
        REQUIRE(decision.over_limit == (story.on_stall == OnStall::Switch && round == story.left.size()));
    }
    REQUIRE(declared_in == story.declared_in);
}

TEST_CASE("a writer faster than the channel is declared within three rounds", "[policy]") {
    // Both in MiB a second; 64 MiB are written over and over, of 1 GiB.
    const std::uint64_t channel = GENERATE(10u, 100u, 1000u);
    const double faster = GENERATE(1.1, 2.0, 50.0);
    constexpr std::uint64_t kSet = 64;
    Parameters wanted;
    wanted.downtime_limit = 40ms;
    wanted.on_stall = OnStall::Cancel;
    Policy policy{{}};
    std::uint64_t to_send = 1024;
    for (std::uint32_t round = 1; round <= 3; ++round) {
        const std::chrono::microseconds duration{to_send * 1'000'000 / channel};
        const double written =
            static_cast<double>(channel) * faster * static_cast<double>(duration.count()) / 1e6;
        const std::uint64_t left = std::min(kSet, static_cast<std::uint64_t>(written));
        const Decision decision =
            policy.after_round({to_send * kMiB, duration, left * kMiB / 4096, duration}, wanted);
        CAPTURE(channel, faster, round, decision.expected_downtime.count());
        REQUIRE(decision.stalled == (round == 3));
        REQUIRE(decision.declared == (round == 3));
        to_send = left;
    }
}

TEST_CASE("a stall is over when there is progress again", "[policy]") {
    Policy policy{{}};
    const std::pair<std::uint64_t, bool> rounds[] = {{100, false}, {100, false}, {100, true}, {100, true},
                                                     {80, false},  {79, false},  {78, true}};
    for (const auto& [left, stalled] : rounds) {
        CAPTURE(left);
        REQUIRE(policy.after_round(sample_of(left), {}).stalled == stalled);
    }
}

TEST_CASE("a guest that cannot be slowed further is given up", "[policy]") {
    Parameters wanted;
    wanted.throttle_initial = 50;
    wanted.throttle_increment = 30;
    wanted.throttle_maximum = 90;
    Policy policy{{}};
    // The last step gets two rounds.
    const std::pair<std::uint32_t, Verdict> rounds[] = {
        {0, Verdict::Continue},  {0, Verdict::Continue},  {50, Verdict::Continue}, {80, Verdict::Continue},
        {90, Verdict::Continue}, {90, Verdict::Continue}, {90, Verdict::GiveUp}};
    std::string why;
    for (const auto& [throttle, verdict] : rounds) {
        const Decision decision = policy.after_round(sample_of(100), wanted);
        REQUIRE(decision.throttle == throttle);
        REQUIRE(decision.verdict == verdict);
        why = decision.why;
    }
    REQUIRE(why ==
            "the guest writes 105 MB/s, the channel moves 105 MB/s, pausing it now would take 1030 ms and "
            "the limit is 300 ms; it is slowed by 90 % already");
}

TEST_CASE("a guest is not slowed when that cannot help", "[policy]") {
    Parameters wanted;
    wanted.downtime_limit = 20ms; // pausing costs 30
    Policy policy{{}};
    for (std::uint32_t round = 1; round <= 3; ++round) {
        const Decision decision = policy.after_round(sample_of(1), wanted);
        REQUIRE(decision.throttle == 0);
        REQUIRE(decision.verdict == (round == 3 ? Verdict::GiveUp : Verdict::Continue));
        if (round == 3)
            REQUIRE_THAT(decision.why, Catch::EndsWith("of that, 30 ms do not depend on what it writes"));
    }
}

TEST_CASE("what the operator wants may change from round to round", "[policy]") {
    Parameters wanted;
    Policy policy{{}};
    const auto round = [&](std::uint64_t left) { return policy.after_round(sample_of(left), wanted); };
    round(100), round(100);
    REQUIRE(round(100).throttle == 20);
    SECTION("a higher limit is enough at once") {
        wanted.downtime_limit = 2s;
        const Decision decision = round(100);
        REQUIRE(decision.verdict == Verdict::SwitchOver);
        REQUIRE_FALSE(decision.over_limit);
    }
    SECTION("a lower one asks for more") {
        wanted.downtime_limit = 100ms;
        REQUIRE(round(20).verdict == Verdict::Continue);
    }
    SECTION("a guest that is not to be slowed any more is not") {
        wanted.on_stall = OnStall::Switch;
        const Decision decision = round(50);
        REQUIRE(decision.throttle == 0);
        REQUIRE(decision.verdict == Verdict::Continue);
        round(50);
        REQUIRE(round(50).verdict == Verdict::SwitchOver);
    }
    SECTION("a lower maximum holds at once") {
        wanted.throttle_maximum = 10;
        REQUIRE(round(80).throttle == 10);
    }
}

TEST_CASE("a guest is not paused while its disks are written back", "[policy]") {
    Parameters wanted;
    wanted.on_stall = OnStall::Cancel;
    RoundSample sample = sample_of(0);
    sample.writing_back = true;
    Policy policy{{}};
    SECTION("what was there before the migration may take as long as it takes") {
        sample.write_back = 100s;
        sample.first_write_back = true;
        for (int round = 0; round < 10; ++round) {
            const Decision decision = policy.after_round(sample, wanted);
            REQUIRE(decision.verdict == Verdict::Continue);
            REQUIRE(decision.expected_downtime < 1s);
            REQUIRE_FALSE(decision.stalled);
        }
        sample.writing_back = sample.first_write_back = false;
        sample.write_back = 1ms;
        REQUIRE(policy.after_round(sample, wanted).verdict == Verdict::SwitchOver);
    }
    SECTION("a guest that writes faster than its disk is one that does not converge") {
        sample.write_back = 1s;
        REQUIRE(policy.after_round(sample, wanted).verdict == Verdict::Continue);
        REQUIRE(policy.after_round(sample, wanted).expected_downtime > 1s);
        REQUIRE(policy.after_round(sample, wanted).verdict == Verdict::GiveUp);
    }
}

TEST_CASE("what a write-back takes is told, and keeps no guest from moving", "[policy]") {
    RoundSample sample = sample_of(1); // 10 ms, and 30 ms fixed
    sample.write_back = 250ms;
    REQUIRE_FALSE(Policy{{}}.after_round(sample, {}).over_limit);
    sample.write_back = 270ms;
    const Decision decision = Policy{{}}.after_round(sample, {});
    REQUIRE(decision.verdict == Verdict::SwitchOver);
    REQUIRE(decision.over_limit);
    REQUIRE(decision.expected_downtime > 300ms);
}

} // namespace policy_test
