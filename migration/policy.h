// SPDX-License-Identifier: Apache-2.0
//
// After each round: forecasts the downtime that pausing now would cost, sees whether the rounds still bring
// progress, and says what to do. Pure; no clock, no machine. README.md has the rules.
#pragma once

#include "migration/parameters.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace godwit::migration {

struct PolicyOptions {
    // Of the downtime, what depends neither on the pages that are left nor on the connection (CostMemory, and
    // the comparison of all of RAM).
    std::chrono::microseconds fixed_cost{30'000};
    // So many rounds, one after the other, without progress are a stall. A round is progress when it leaves
    // at least a tenth fewer dirty pages than the best one before.
    std::uint32_t stall_rounds = 2;
};

struct RoundSample {
    std::uint64_t bytes = 0;                  // in the channel
    std::chrono::microseconds duration{};     // until the destination had them
    std::uint64_t dirty_pages = 0;            // to be sent next
    std::chrono::microseconds dirty_period{}; // in which they were written
    std::chrono::microseconds round_trip{};   // of a message and its answer
    // What bringing the guest's disk writes to stable storage took, or takes so far: what they must wait for
    // again when it is paused.
    std::chrono::microseconds write_back{};
    bool writing_back = false; // it has not ended: the guest is not paused before
    bool first_write_back =
        false; // and began with the migration: it says nothing of how fast the guest writes
};

enum class Verdict : std::uint8_t { Continue, SwitchOver, GiveUp };

struct Decision {
    Verdict verdict = Verdict::Continue;
    double bytes_per_second = 0;
    double dirty_pages_per_second = 0;
    std::chrono::microseconds fixed_cost{}; // part of the expected downtime
    std::chrono::microseconds write_back{}; // so is this, for disks
    std::chrono::microseconds expected_downtime{};
    bool stalled = false;       // from its declaration until there is progress again
    bool declared = false;      // the stall was seen in this round, or another step was taken against it
    bool over_limit = false;    // SwitchOver, and the forecast exceeds the limit
    std::uint32_t throttle = 0; // percent by which the guest is to be slowed from now on
    std::string why;            // when a stall is declared, and of GiveUp: one line without a stop
};

class Policy {
  public:
    explicit Policy(const PolicyOptions& options) : options_(options) {}

    // `wanted` may be different from round to round.
    Decision after_round(const RoundSample& sample, const Parameters& wanted);

  private:
    void measure(const RoundSample& sample, Decision& decision);
    // Whether rounds bring progress. True when a stall is to be acted on.
    bool see_stall(std::uint64_t dirty_pages);
    void act(const Parameters& wanted, Decision& decision);
    void throttle_more(const Parameters& wanted, Decision& decision);

    PolicyOptions options_;
    double bytes_per_second_ = 0;
    std::optional<std::uint64_t> best_; // fewest dirty pages, as far as it was progress
    std::uint64_t last_ = 0;
    std::uint32_t rounds_without_progress_ = 0;
    bool stalled_ = false;
    std::uint32_t throttle_ = 0;
};

} // namespace godwit::migration
