// SPDX-License-Identifier: Apache-2.0
#include "migration/policy.h"

#include "vmm/base/address.h"

#include <algorithm>
#include <fmt/core.h>

namespace godwit::migration {

namespace {

// A round of fewer bytes is mostly latency and says little about the rate.
constexpr std::uint64_t kTellingBytes = std::uint64_t{4} << 20;
constexpr std::chrono::milliseconds kTellingWriteBack{10};
constexpr double kNewWeight = 0.75;
// An hour stands for "never": the forecast stays a number that fits everywhere.
constexpr double kNeverMicroseconds = 3.6e9;
// STATE and READY, COMMIT and RUNNING.
constexpr int kRoundTrips = 2;
// Progress: at most this share of the pages is left.
constexpr double kProgress = 0.9;

double per_second(std::uint64_t count, std::chrono::microseconds period) {
    return static_cast<double>(count) * 1e6 / static_cast<double>(std::max<std::int64_t>(period.count(), 1));
}

// "the guest writes 400 MB/s, the channel moves 100 MB/s, pausing it now would take 900 ms and the limit is
// 300 ms"
std::string rates(const Decision& decision, const Parameters& wanted) {
    return fmt::format(
        "the guest writes {:.0f} MB/s, the channel moves {:.0f} MB/s, pausing it now would take "
        "{} ms{} and the limit is {} ms",
        decision.dirty_pages_per_second * kPageSize / 1e6, decision.bytes_per_second / 1e6,
        decision.expected_downtime.count() / 1000,
        decision.write_back < kTellingWriteBack
            ? ""
            : fmt::format(" ({} ms of that for its disks)", decision.write_back.count() / 1000),
        wanted.downtime_limit.count());
}

} // namespace

Decision Policy::after_round(const RoundSample& sample, const Parameters& wanted) {
    Decision decision;
    measure(sample, decision);
    // A disk takes what it takes, slow guest or not: that is told, and bounded by whoever waits for it.
    const bool fits = decision.expected_downtime - decision.write_back <= wanted.downtime_limit;
    const bool waits = sample.writing_back && sample.first_write_back;
    const bool act_now = !waits && see_stall(sample.dirty_pages);
    throttle_ = wanted.on_stall == OnStall::Throttle ? std::min(throttle_, wanted.throttle_maximum) : 0;
    if (!sample.writing_back && (sample.dirty_pages == 0 || fits)) {
        decision.verdict = Verdict::SwitchOver;
        decision.over_limit = decision.expected_downtime > wanted.downtime_limit;
    } else if (act_now) {
        act(wanted, decision);
    }
    decision.stalled = stalled_;
    decision.throttle = throttle_;
    return decision;
}

void Policy::measure(const RoundSample& sample, Decision& decision) {
    const double measured = per_second(sample.bytes, sample.duration);
    if (bytes_per_second_ == 0)
        bytes_per_second_ = measured;
    else if (sample.bytes >= kTellingBytes)
        bytes_per_second_ = kNewWeight * measured + (1 - kNewWeight) * bytes_per_second_;
    else // it can only show that the rate is at least this
        bytes_per_second_ = std::max(bytes_per_second_, measured);

    decision.bytes_per_second = bytes_per_second_;
    decision.dirty_pages_per_second = per_second(sample.dirty_pages, sample.dirty_period);
    double ram = 0;
    if (sample.dirty_pages != 0)
        ram = bytes_per_second_ == 0
                  ? kNeverMicroseconds
                  : static_cast<double>(sample.dirty_pages * kPageSize) * 1e6 / bytes_per_second_;
    decision.fixed_cost = options_.fixed_cost + kRoundTrips * sample.round_trip;
    if (!sample.writing_back || !sample.first_write_back)
        decision.write_back = sample.write_back;
    decision.expected_downtime =
        std::chrono::microseconds{static_cast<std::int64_t>(std::min(ram, kNeverMicroseconds))} +
        decision.fixed_cost + decision.write_back;
}

bool Policy::see_stall(std::uint64_t dirty_pages) {
    last_ = dirty_pages;
    if (!best_.has_value() || (dirty_pages < *best_ &&
                               static_cast<double>(dirty_pages) <= kProgress * static_cast<double>(*best_))) {
        best_ = dirty_pages;
        rounds_without_progress_ = 0;
        stalled_ = false;
    } else {
        ++rounds_without_progress_;
    }
    stalled_ = stalled_ || rounds_without_progress_ >= options_.stall_rounds;
    return rounds_without_progress_ >= options_.stall_rounds;
}

void Policy::act(const Parameters& wanted, Decision& decision) {
    decision.declared = true;
    decision.why = rates(decision, wanted);
    switch (wanted.on_stall) {
    case OnStall::Switch:
        decision.verdict = Verdict::SwitchOver;
        decision.over_limit = true;
        return;
    case OnStall::Cancel:
        decision.verdict = Verdict::GiveUp;
        return;
    case OnStall::Throttle:
        return throttle_more(wanted, decision);
    }
}

void Policy::throttle_more(const Parameters& wanted, Decision& decision) {
    if (decision.fixed_cost >= wanted.downtime_limit) {
        // However slow the guest: no round could help.
        decision.verdict = Verdict::GiveUp;
        decision.why += fmt::format("; of that, {} ms do not depend on what it writes",
                                    decision.fixed_cost.count() / 1000);
        return;
    }
    if (throttle_ >= wanted.throttle_maximum) {
        decision.verdict = Verdict::GiveUp;
        decision.why += fmt::format("; it is slowed by {} % already", throttle_);
        return;
    }
    throttle_ = std::min(throttle_ == 0 ? wanted.throttle_initial : throttle_ + wanted.throttle_increment,
                         wanted.throttle_maximum);
    // Progress is counted from here. One round shows what the step brings; the last step gets as many as a
    // stall needs.
    best_ = last_;
    rounds_without_progress_ = throttle_ < wanted.throttle_maximum ? options_.stall_rounds - 1 : 0;
}

} // namespace godwit::migration
