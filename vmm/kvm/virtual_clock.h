// SPDX-License-Identifier: Apache-2.0
//
// Nanoseconds that the guest has run: stands still while it is paused and travels with it (the "timer"
// section). Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace godwit::kvm {

class VirtualClock {
  public:
    std::int64_t now_ns() const {
        const std::lock_guard lock{mutex_};
        return elapsed_ns_ + (running_ ? host_ns() - started_at_ns_ : 0);
    }
    // Idempotent.
    void start() {
        const std::lock_guard lock{mutex_};
        if (!running_)
            started_at_ns_ = host_ns();
        running_ = true;
    }
    void stop() {
        const std::lock_guard lock{mutex_};
        if (running_)
            elapsed_ns_ += host_ns() - started_at_ns_;
        running_ = false;
    }
    // Precondition: stopped.
    void set_ns(std::int64_t now) {
        const std::lock_guard lock{mutex_};
        elapsed_ns_ = now;
    }

  private:
    static std::int64_t host_ns() {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    mutable std::mutex mutex_;
    bool running_ = false;
    std::int64_t elapsed_ns_ = 0;
    std::int64_t started_at_ns_ = 0;
};

} // namespace godwit::kvm
