// SPDX-License-Identifier: Apache-2.0
//
// Durations of a migration's parts. One thread.
#pragma once

#include "migration/report.h"

#include <chrono>

namespace godwit::migration {

class Stopwatch {
  public:
    // Since the last lap, or the start.
    Duration lap() {
        const auto now = Clock::now();
        const auto passed = std::chrono::duration_cast<Duration>(now - last_);
        last_ = now;
        return passed;
    }
    Duration total() const { return std::chrono::duration_cast<Duration>(Clock::now() - start_); }

  private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point start_ = Clock::now();
    Clock::time_point last_ = start_;
};

} // namespace godwit::migration
