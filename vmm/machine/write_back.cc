// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/write_back.h"

#include "vmm/sandbox/sandbox.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

namespace godwit {

using Clock = std::chrono::steady_clock;

struct WriteBack::Shared {
    explicit Shared(Pass what) : pass(std::move(what)) {}

    void run() {
        Status status = pass();
        const std::lock_guard lock{mutex};
        ended = Clock::now();
        outcome = std::move(status);
        news.notify_all();
    }

    const Pass pass;
    std::mutex mutex;
    std::condition_variable news;
    bool under_way = false; // here and below: under mutex
    Clock::time_point began, ended;
    std::optional<Status> outcome;
};

WriteBack::WriteBack(Pass pass) : shared_(std::make_shared<Shared>(std::move(pass))) {}

Result<migration::WriteBackState> WriteBack::advance(std::chrono::milliseconds patience) {
    std::unique_lock lock{shared_->mutex};
    if (!shared_->under_way) {
        shared_->under_way = true;
        shared_->began = Clock::now();
        std::thread{[shared = shared_] {
            sandbox::enter(sandbox::Role::Worker, "write-back");
            shared->run();
        }}.detach();
    }
    const auto took = [&](Clock::time_point until) {
        return std::chrono::duration_cast<std::chrono::microseconds>(until - shared_->began);
    };
    if (!shared_->news.wait_for(lock, patience, [&] { return shared_->outcome.has_value(); }))
        return migration::WriteBackState{true, took(Clock::now())};
    shared_->under_way = false;
    Status outcome = std::move(*shared_->outcome);
    shared_->outcome.reset();
    TRY(std::move(outcome));
    return migration::WriteBackState{false, took(shared_->ended)};
}

} // namespace godwit
