// SPDX-License-Identifier: Apache-2.0
//
// A cap on what all connections of a migration send together: a bucket of tokens that fills at the wanted
// rate and holds what it gets in 20 ms. The rate may change at any time. Any thread.
#pragma once

#include "migration/channel/cancel.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

namespace godwit::migration {

class RateLimit {
  public:
    using Clock = std::chrono::steady_clock;

    // `rate` is asked whenever somebody wants to send: bytes a second, 0 for no limit.
    explicit RateLimit(std::function<std::uint64_t()> rate) : rate_(std::move(rate)) {}

    // Before `bytes` are sent: waits until they may be. Cancelled on a request, which may be null.
    Status take(std::uint64_t bytes, const Cancel* cancel);

    // Lifts the limit for good: the guest is paused and waits for what is sent.
    void lift() { lifted_ = true; }

    // The most that one frame should have, so that a slow rate is smooth as well.
    std::uint64_t frame_bytes(std::uint64_t most) const;

    // When `bytes` may be sent that are wanted at `now`; the bucket is charged with them. For take() and for
    // tests.
    Clock::time_point reserve(std::uint64_t bytes, std::uint64_t rate, Clock::time_point now);

  private:
    std::function<std::uint64_t()> rate_;
    std::atomic<bool> lifted_{false};
    std::mutex mutex_;
    Clock::time_point next_{}; // under mutex_: when all that was let through so far is paid for
};

} // namespace godwit::migration
