// SPDX-License-Identifier: Apache-2.0
//
// The loop's timers: deadlines in order, on the monotonic clock. No kernel object per timer: the nearest
// deadline bounds the loop's wait. Internal to vmm/loop. Threads: loop only.
#pragma once

#include "vmm/loop/loop.h"

#include <map>
#include <optional>

namespace godwit {

class TimerQueue {
  public:
    using Clock = std::chrono::steady_clock;

    std::unique_ptr<Timer> make(std::function<void()> expired) {
        return std::make_unique<Entry>(*this, std::move(expired));
    }
    // How long until the next one; nothing when none is armed.
    std::optional<std::chrono::nanoseconds> remaining(Clock::time_point now) const {
        if (armed_.empty())
            return std::nullopt;
        return std::max<std::chrono::nanoseconds>(armed_.begin()->first - now, std::chrono::nanoseconds{0});
    }
    // Calls those whose time has come, in order of their deadlines. One that is armed anew meanwhile waits
    // for the next turn.
    void fire(Clock::time_point now) {
        while (!armed_.empty() && armed_.begin()->first <= now) {
            Entry& entry = *armed_.begin()->second;
            entry.disarm();
            // The callback may destroy its own timer.
            const auto expired = entry.expired_;
            (*expired)();
        }
    }

  private:
    class Entry final : public Timer {
      public:
        Entry(TimerQueue& queue, std::function<void()> expired)
            : expired_(std::make_shared<const std::function<void()>>(std::move(expired))), queue_(queue) {}
        ~Entry() override { disarm(); }
        void arm(std::chrono::nanoseconds from_now) override {
            disarm();
            const auto now = Clock::now();
            const auto latest = Clock::time_point::max();
            // Never at `now` itself: fire() must come to an end.
            from_now = std::max(from_now, std::chrono::nanoseconds{1});
            place_ = queue_.armed_.emplace(from_now > latest - now ? latest : now + from_now, this);
        }
        void disarm() override {
            if (place_.has_value())
                queue_.armed_.erase(*place_);
            place_.reset();
        }

      private:
        friend class TimerQueue;
        std::shared_ptr<const std::function<void()>> expired_;
        TimerQueue& queue_;
        std::optional<std::multimap<Clock::time_point, Entry*>::iterator> place_;
    };

    std::multimap<Clock::time_point, Entry*> armed_;
};

} // namespace godwit
