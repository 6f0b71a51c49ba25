// SPDX-License-Identifier: Apache-2.0
//
// The clockwork of a slowed guest: time is cut into short periods, and in each the vCPUs run for a part and
// rest for the other. Knows no vCPU. A thread of its own; any thread may call.
#pragma once

#include "vmm/base/result.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace godwit::kvm {

class VcpuThrottle {
  public:
    using Clock = std::chrono::steady_clock;
    // Short against what a guest's watchdogs and peers wait for, long against what leaving the guest costs.
    static constexpr std::chrono::microseconds kPeriod{20'000};
    static constexpr std::uint32_t kMaximum = 99;

    // `rest(until)` sends all vCPUs to rest until then. It is called on the throttle's thread, once a period,
    // until this object is gone. `percent` is 1 to kMaximum.
    static Result<std::unique_ptr<VcpuThrottle>> start(std::uint32_t percent,
                                                       std::function<void(Clock::time_point)> rest);
    ~VcpuThrottle();
    VcpuThrottle(const VcpuThrottle&) = delete;
    VcpuThrottle& operator=(const VcpuThrottle&) = delete;

    // From the next period on.
    void set(std::uint32_t percent);

  private:
    VcpuThrottle(std::uint32_t percent, std::function<void(Clock::time_point)> rest)
        : rest_(std::move(rest)), percent_(percent) {}
    void thread_main();

    const std::function<void(Clock::time_point)> rest_;
    std::mutex mutex_;
    std::condition_variable end_;
    std::uint32_t percent_; // under mutex_
    bool ending_ = false;   // under mutex_
    std::thread thread_;
};

} // namespace godwit::kvm
