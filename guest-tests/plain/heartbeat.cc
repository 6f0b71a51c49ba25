// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/heartbeat.h"

#include "guest-tests/plain/spans.h"

#include <algorithm>

namespace godwit::plain {

namespace {
constexpr std::uint64_t kLongestPeriod = std::uint64_t{3600} * 1'000'000; // microseconds
} // namespace

Heartbeat::Heartbeat(HeartbeatState& state, const guest::Options& options)
    : state_(state), bytes_(options.text("heartbeat.mode", "line") == "bytes"),
      period_(std::min(options.number("heartbeat.period", bytes_ ? 1000 : 100'000), kLongestPeriod) *
              kMicrosecond) {}

std::uint64_t Heartbeat::step(std::uint64_t now, Output& output) {
    if (period_ == 0)
        return now + kSecond;
    if (!state_.begun) {
        state_.begun = true;
        state_.due = now + period_;
    }
    if (now < state_.due)
        return state_.due;
    if (state_.last != 0)
        state_.longest_gap = std::max(state_.longest_gap, now - state_.last);
    state_.last = now;
    if (bytes_)
        output.put(std::string_view{"abcdefghijklmnopqrstuvwxyz"}.substr(state_.beats % 26, 1));
    else
        Report(output, "heartbeat").add("n", state_.beats).add("tsc", now);
    ++state_.beats;
    state_.due += period_;
    if (state_.due <= now) {
        ++state_.late;
        state_.due = now + period_;
    }
    return state_.due;
}

void Heartbeat::start_line(Output& output) const {
    Report(output, "heartbeat")
        .add("mode", bytes_ ? "bytes" : "line")
        .add("period_us", period_ / kMicrosecond);
}

void Heartbeat::print_status(Output& output) const {
    Report(output, "heartbeat")
        .add("beats", state_.beats)
        .add("late", state_.late)
        .add("longest_gap_us", state_.longest_gap / kMicrosecond);
}

} // namespace godwit::plain
