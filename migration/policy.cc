// SPDX-License-Identifier: Apache-2.0
#include "migration/policy.h"

#include "vmm/base/address.h"

#include <algorithm>

namespace godwit::migration {

namespace {

// A round of fewer bytes is mostly latency and says little about the rate.
constexpr std::uint64_t kTellingBytes = std::uint64_t{4} << 20;
constexpr double kNewWeight = 0.75;
// An hour stands for "never": the forecast stays a number that fits everywhere.
constexpr double kNeverMicroseconds = 3.6e9;

double per_second(std::uint64_t count, std::chrono::microseconds period) {
    return static_cast<double>(count) * 1e6 / static_cast<double>(std::max<std::int64_t>(period.count(), 1));
}

} // namespace

Decision Policy::after_round(const RoundSample& sample, const Parameters& wanted) {
    ++rounds_;
    const double measured = per_second(sample.bytes, sample.duration);
    if (bytes_per_second_ == 0)
        bytes_per_second_ = measured;
    else if (sample.bytes >= kTellingBytes)
        bytes_per_second_ = kNewWeight * measured + (1 - kNewWeight) * bytes_per_second_;
    else // it can only show that the rate is at least this
        bytes_per_second_ = std::max(bytes_per_second_, measured);

    Decision decision;
    decision.bytes_per_second = bytes_per_second_;
    decision.dirty_pages_per_second = per_second(sample.dirty_pages, sample.dirty_period);
    double ram = 0;
    if (sample.dirty_pages != 0)
        ram = bytes_per_second_ == 0
                  ? kNeverMicroseconds
                  : static_cast<double>(sample.dirty_pages * kPageSize) * 1e6 / bytes_per_second_;
    decision.expected_downtime =
        std::chrono::microseconds{static_cast<std::int64_t>(std::min(ram, kNeverMicroseconds))} +
        options_.fixed_cost;

    if (!best_.has_value() || decision.expected_downtime < *best_) {
        best_ = decision.expected_downtime;
        rounds_since_best_ = 0;
    } else {
        ++rounds_since_best_;
    }
    decision.stalled = rounds_since_best_ >= options_.stall_rounds;

    if (sample.dirty_pages == 0 || decision.expected_downtime <= wanted.downtime_limit)
        decision.verdict = Verdict::SwitchOver;
    else if (rounds_ >= options_.max_rounds)
        decision.verdict = Verdict::GiveUp;
    return decision;
}

} // namespace godwit::migration
