// SPDX-License-Identifier: Apache-2.0
#pragma once
// Spreads work over time: so many units per second, with a bounded catch-up after a pause.
#include "base/types.h"

namespace guest {

class Pacer {
  public:
    constexpr Pacer() = default;

    // units per second; 0 is "no limit"
    constexpr void begin(u64 rate, u64 now) {
        rate_ = rate;
        since_ = now;
        done_ = 0;
    }

    constexpr bool may(u64 now) {
        if (rate_ == 0)
            return true;
        u64 due = units_at(now);
        if (due > done_ + rate_ / 10 + 1) // a tenth of a second behind: forget the debt
            begin(rate_, now - 1'000'000'000 / 10);
        return done_ < units_at(now);
    }

    constexpr void did(u64 units) { done_ += units; }

    // begin(rate, since()) and did(done()) make another one that goes on where this one is.
    constexpr u64 since() const { return since_; }
    constexpr u64 done() const { return done_; }

    // When there is work again; batches of a millisecond.
    constexpr u64 next(u64 now) const { return rate_ == 0 ? now : now + 1'000'000; }

  private:
    constexpr u64 units_at(u64 now) const {
        constexpr u64 ns_per_second = 1'000'000'000; // rates up to 18 GB/s do not overflow
        u64 elapsed = now - since_;
        return elapsed / ns_per_second * rate_ + elapsed % ns_per_second * rate_ / ns_per_second;
    }

    u64 rate_ = 0, since_ = 0, done_ = 0;
};

} // namespace guest
