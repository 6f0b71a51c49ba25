// SPDX-License-Identifier: Apache-2.0
//
// System calls that block and that io_uring does not have, on a thread of their own, one after the other.
// They complete like the ring's operations, also within drain(). The thread begins with the first call.
// Threads: loop only; the calls run on the helper's.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/loop/loop.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace godwit {

class Helper final : private Operation {
  public:
    // Its result is the operation's: what the system call returned, or -errno.
    using Call = std::function<std::int32_t()>;

    static Result<std::unique_ptr<Helper>> create(Loop& loop);
    // Precondition: every operation has completed.
    ~Helper() override;

    void run(Operation& operation, Call call);

  private:
    struct Job {
        Operation* operation;
        Call call;
    };
    struct Done {
        Operation* operation;
        std::int32_t result;
    };

    Helper(Loop& loop, Fd event) : loop_(loop), event_(std::move(event)) {}
    void completed(std::int32_t result) override;
    void listen();
    void work();

    Loop& loop_;
    const Fd event_; // an eventfd
    FixedFile file_; // the same, for the ring
    std::uint64_t count_ = 0;
    iovec buffer_{&count_, sizeof count_};
    std::size_t outstanding_ = 0;

    std::mutex mutex_;
    std::condition_variable news_;
    std::deque<Job> jobs_; // here and below: under mutex_
    std::vector<Done> done_;
    bool ends_ = false;
    std::thread thread_; // the last: it uses everything above
};

} // namespace godwit
