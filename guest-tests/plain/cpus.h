// SPDX-License-Identifier: Apache-2.0
//
// The threads that take the place of vCPUs: each does one step after another, and all stop between two steps.
// As kvm::VcpuSet they can be slowed. Threads: any but theirs; wake() any.
#pragma once

#include "vmm/base/result.h"
#include "vmm/kvm/vcpu_throttle.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit::plain {

class Cpus {
  public:
    using Clock = std::chrono::steady_clock;
    // Does a little for that CPU, and says how long it may rest afterwards.
    using Step = std::function<std::chrono::nanoseconds(std::uint32_t cpu)>;

    // They stand still at first.
    static Result<std::unique_ptr<Cpus>> create(std::uint32_t count, Step step);
    ~Cpus();

    void resume();
    // Returns when none is in a step. Idempotent.
    void pause();
    // Ends every rest.
    void wake();
    // They stand still for `percent` of the time, at most 99; 0 ends that.
    Status throttle(std::uint32_t percent);

  private:
    explicit Cpus(Step step) : step_(std::move(step)) {}
    void thread_main(std::uint32_t cpu);
    void run(std::uint32_t cpu, std::unique_lock<std::mutex>& lock);

    const Step step_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::condition_variable parked_;
    bool running_ = false;           // under mutex_
    bool ending_ = false;            // under mutex_
    std::uint32_t busy_ = 0;         // under mutex_; not parked
    std::uint64_t wakes_ = 0;        // under mutex_
    Clock::time_point slowed_until_; // under mutex_
    std::unique_ptr<kvm::VcpuThrottle> throttle_;
    std::vector<std::thread> threads_; // last: they use everything above
};

} // namespace godwit::plain
