// SPDX-License-Identifier: Apache-2.0
#include "vmm/loop/helper.h"

#include "vmm/sandbox/sandbox.h"

#include <cerrno>
#include <sys/eventfd.h>
#include <utility>

namespace godwit {

Result<std::unique_ptr<Helper>> Helper::create(Loop& loop) {
    Fd event = Fd::adopt(::eventfd(0, EFD_CLOEXEC));
    if (!event)
        return system_error(errno, "create an eventfd");
    std::unique_ptr<Helper> helper{new Helper{loop, std::move(event)}};
    helper->file_ = TRY(loop.register_file(helper->event_));
    return helper;
}

Helper::~Helper() {
    {
        const std::lock_guard lock{mutex_};
        ends_ = true;
    }
    news_.notify_one();
    if (thread_.joinable())
        thread_.join();
}

void Helper::run(Operation& operation, Call call) {
    if (!thread_.joinable())
        thread_ = std::thread{[this] {
            sandbox::enter(sandbox::Role::Loop, "loop-helper");
            work();
        }};
    {
        const std::lock_guard lock{mutex_};
        jobs_.push_back({&operation, std::move(call)});
    }
    news_.notify_one();
    if (outstanding_++ == 0)
        listen();
}

void Helper::listen() {
    loop_.read(*this, file_, {&buffer_, 1}, 0);
}

void Helper::completed(std::int32_t) {
    std::vector<Done> done;
    {
        const std::lock_guard lock{mutex_};
        done.swap(done_);
    }
    outstanding_ -= done.size();
    if (outstanding_ != 0)
        listen();
    for (const Done& one : done)
        one.operation->completed(one.result);
}

void Helper::work() {
    std::unique_lock lock{mutex_};
    for (;;) {
        news_.wait(lock, [this] { return ends_ || !jobs_.empty(); });
        if (jobs_.empty())
            return;
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        const std::int32_t result = job.call();
        lock.lock();
        done_.push_back({job.operation, result});
        (void)::eventfd_write(event_.get(), 1);
    }
}

} // namespace godwit
