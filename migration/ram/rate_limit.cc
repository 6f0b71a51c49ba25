// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/rate_limit.h"

#include <algorithm>
#include <poll.h>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

constexpr auto kBurst = 20ms;
// A frame takes no longer than this of the rate, and a change of the rate is seen within it.
constexpr auto kSlice = 50ms;
constexpr std::uint64_t kLeastFrame = std::uint64_t{64} << 10;

void sleep_for(std::chrono::nanoseconds time, const Cancel* cancel) {
    const Cancel* const parent = cancel != nullptr ? cancel->parent() : nullptr;
    pollfd waited[] = {{cancel != nullptr ? cancel->fd() : -1, POLLIN, 0},
                       {parent != nullptr ? parent->fd() : -1, POLLIN, 0}};
    const timespec limit{static_cast<time_t>(time / 1s), static_cast<long>((time % 1s).count())};
    (void)::ppoll(waited, std::size(waited), &limit, nullptr);
}

} // namespace

RateLimit::Clock::time_point RateLimit::reserve(std::uint64_t bytes, std::uint64_t rate,
                                                Clock::time_point now) {
    const std::lock_guard lock{mutex_};
    // What was not used is kept for the length of a burst and no longer.
    const auto start = std::max(next_, now - kBurst);
    next_ = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{
                        static_cast<double>(bytes) / static_cast<double>(rate)});
    return start;
}

Status RateLimit::take(std::uint64_t bytes, const Cancel* cancel) {
    while (bytes != 0) {
        const std::uint64_t rate = lifted_ ? 0 : rate_();
        if (rate == 0)
            return {};
        // In slices, so that a rate that was raised meanwhile is not waited for at the old one.
        const auto slice =
            std::min(bytes, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(
                                                           static_cast<double>(rate) *
                                                           std::chrono::duration<double>{kSlice}.count())));
        const auto start = reserve(slice, rate, Clock::now());
        bytes -= slice;
        for (auto now = Clock::now(); now < start && !lifted_; now = Clock::now()) {
            if (cancel != nullptr && cancel->requested())
                return cancel->error();
            sleep_for(std::min<std::chrono::nanoseconds>(start - now, kSlice), cancel);
        }
    }
    return {};
}

std::uint64_t RateLimit::frame_bytes(std::uint64_t most) const {
    const std::uint64_t rate = lifted_ ? 0 : rate_();
    if (rate == 0)
        return most;
    return std::clamp(rate / (1s / kSlice), std::min(kLeastFrame, most), most);
}

} // namespace godwit::migration
