// SPDX-License-Identifier: Apache-2.0
#include "migration/policy.h"

#include <catch2/catch.hpp>

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

TEST_CASE("small rounds do not lower the rate that large ones showed", "[policy]") {
    Policy policy{{}};
    REQUIRE(policy.after_round({kGiB, 1s, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB));
    REQUIRE(policy.after_round({4096, 1ms, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB));
    REQUIRE(policy.after_round({kGiB, 2s, kPagesPerGiB, 1s}, {}).bytes_per_second == Approx(kGiB * 0.625));
}

TEST_CASE("dirty pages a second are counted over their own period", "[policy]") {
    REQUIRE(Policy{{}}.after_round({kGiB, 1s, 5000, 2s}, {}).dirty_pages_per_second == Approx(2500));
}

TEST_CASE("a migration that gets nowhere stalls, and is given up after the last round", "[policy]") {
    PolicyOptions options;
    options.max_rounds = 8;
    options.stall_rounds = 3;
    Policy policy{options};
    for (std::uint32_t round = 1; round <= 8; ++round) {
        CAPTURE(round);
        const Decision decision = policy.after_round({kGiB, 1s, kPagesPerGiB, 1s}, {});
        REQUIRE(decision.stalled == (round > 3));
        REQUIRE(decision.verdict == (round == 8 ? Verdict::GiveUp : Verdict::Continue));
    }
}

TEST_CASE("a migration that gets better does not stall", "[policy]") {
    PolicyOptions options;
    options.stall_rounds = 2;
    Policy policy{options};
    for (std::uint64_t round = 1; round < 10; ++round)
        REQUIRE_FALSE(policy.after_round({kGiB, 1s, 20 * kPagesPerGiB / round, 1s}, {}).stalled);
}
