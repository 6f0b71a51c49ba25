// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/cpus.h"

#include "vmm/sandbox/sandbox.h"

#include <system_error>

namespace godwit::plain {

Result<std::unique_ptr<Cpus>> Cpus::create(std::uint32_t count, Step step) {
    std::unique_ptr<Cpus> cpus{new Cpus{std::move(step)}};
    try {
        for (std::uint32_t i = 0; i < count; ++i)
            cpus->threads_.emplace_back([raw = cpus.get(), i] {
                sandbox::enter(sandbox::Role::Vcpu, fmt::format("vcpu{}", i));
                raw->thread_main(i);
            });
    } catch (const std::system_error& failure) {
        return system_error(failure.code().value(), "start the thread of a CPU");
    }
    return cpus;
}

Cpus::~Cpus() {
    throttle_.reset();
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_)
        thread.join();
}

void Cpus::resume() {
    const std::lock_guard lock{mutex_};
    running_ = true;
    changed_.notify_all();
}

void Cpus::pause() {
    std::unique_lock lock{mutex_};
    running_ = false;
    changed_.notify_all();
    parked_.wait(lock, [&] { return busy_ == 0; });
}

void Cpus::wake() {
    const std::lock_guard lock{mutex_};
    ++wakes_;
    changed_.notify_all();
}

Status Cpus::throttle(std::uint32_t percent) {
    if (percent == 0) {
        throttle_.reset();
        const std::lock_guard lock{mutex_};
        slowed_until_ = {};
        changed_.notify_all();
        return {};
    }
    if (throttle_ != nullptr) {
        throttle_->set(percent);
        return {};
    }
    throttle_ = TRY(kvm::VcpuThrottle::start(percent, [this](Clock::time_point until) {
        const std::lock_guard lock{mutex_};
        slowed_until_ = until;
    }));
    return {};
}

void Cpus::thread_main(std::uint32_t cpu) {
    std::unique_lock lock{mutex_};
    for (;;) {
        changed_.wait(lock, [&] { return running_ || ending_; });
        if (ending_)
            return;
        ++busy_;
        run(cpu, lock);
        if (--busy_ == 0)
            parked_.notify_all();
    }
}

void Cpus::run(std::uint32_t cpu, std::unique_lock<std::mutex>& lock) {
    while (running_ && !ending_) {
        if (Clock::now() < slowed_until_) {
            changed_.wait_until(lock, slowed_until_);
            continue;
        }
        const std::uint64_t seen = wakes_;
        lock.unlock();
        const std::chrono::nanoseconds rest = step_(cpu);
        lock.lock();
        if (rest.count() > 0)
            changed_.wait_for(lock, rest, [&] { return !running_ || ending_ || wakes_ != seen; });
    }
}

} // namespace godwit::plain
