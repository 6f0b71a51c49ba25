// SPDX-License-Identifier: Apache-2.0
//
// When to pause the guest: after each round it forecasts the downtime that pausing now would cost. Pure; no
// clock, no machine.
#pragma once

#include "migration/parameters.h"

#include <chrono>
#include <cstdint>
#include <optional>

namespace godwit::migration {

struct PolicyOptions {
    // Of the downtime, what does not depend on RAM: pause, save, load, apply, the messages. A forecast until
    // a migration has measured it (Report::fixed_cost).
    std::chrono::microseconds fixed_cost{30'000};
    // After so many rounds a migration that does not get below the limit is given up.
    std::uint32_t max_rounds = 30;
    // Rounds without a better forecast after which a migration counts as stalled.
    std::uint32_t stall_rounds = 5;
};

struct RoundSample {
    std::uint64_t bytes = 0;                  // in the channel
    std::chrono::microseconds duration{};     // until the destination had them
    std::uint64_t dirty_pages = 0;            // to be sent next
    std::chrono::microseconds dirty_period{}; // in which they were written
};

enum class Verdict { Continue, SwitchOver, GiveUp };

struct Decision {
    Verdict verdict = Verdict::Continue;
    double bytes_per_second = 0;
    double dirty_pages_per_second = 0;
    std::chrono::microseconds expected_downtime{};
    bool stalled = false;
};

class Policy {
  public:
    explicit Policy(const PolicyOptions& options) : options_(options) {}

    // `wanted` may be different from round to round.
    Decision after_round(const RoundSample& sample, const Parameters& wanted);

  private:
    PolicyOptions options_;
    std::uint32_t rounds_ = 0;
    std::uint32_t rounds_since_best_ = 0;
    double bytes_per_second_ = 0;
    std::optional<std::chrono::microseconds> best_;
};

} // namespace godwit::migration
