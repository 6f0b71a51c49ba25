// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu_throttle.h"

#include "vmm/sandbox/sandbox.h"

#include <algorithm>
#include <cassert>
#include <system_error>

namespace godwit::kvm {

namespace {
constexpr auto kLongestRest = 5 * VcpuThrottle::kPeriod;
} // namespace

Result<std::unique_ptr<VcpuThrottle>> VcpuThrottle::start(std::uint32_t percent,
                                                          std::function<void(Clock::time_point)> rest) {
    assert(percent >= 1 && percent <= kMaximum);
    std::unique_ptr<VcpuThrottle> throttle{new VcpuThrottle{percent, std::move(rest)}};
    try {
        throttle->thread_ = std::thread{[raw = throttle.get()] {
            sandbox::enter(sandbox::Role::Worker, "throttle");
            raw->thread_main();
        }};
    } catch (const std::system_error& failure) {
        return system_error(failure.code().value(), "start the thread that slows the vCPUs");
    }
    return throttle;
}

VcpuThrottle::~VcpuThrottle() {
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
    }
    end_.notify_all();
    if (thread_.joinable())
        thread_.join();
}

void VcpuThrottle::set(std::uint32_t percent) {
    assert(percent >= 1 && percent <= kMaximum);
    const std::lock_guard lock{mutex_};
    percent_ = percent;
}

void VcpuThrottle::thread_main() {
    std::unique_lock lock{mutex_};
    for (auto begin = Clock::now();;) {
        const auto ending = [&] { return ending_; };
        if (end_.wait_until(lock, begin + kPeriod * (100 - percent_) / 100, ending))
            return;
        // The guest rests in proportion to what it really ran: this thread may have woken late.
        const auto now = Clock::now();
        const auto until =
            now + std::min<Clock::duration>((now - begin) * percent_ / (100 - percent_), kLongestRest);
        lock.unlock();
        rest_(until);
        lock.lock();
        if (end_.wait_until(lock, until, ending))
            return;
        begin = until;
    }
}

} // namespace godwit::kvm
