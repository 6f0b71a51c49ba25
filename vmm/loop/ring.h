// SPDX-License-Identifier: Apache-2.0
//
// The io_uring itself: set-up with the features that the loop relies on, a submission queue that never runs
// full for its caller, the table of registered files. Reference: io_uring_setup(2), io_uring_enter(2).
// Internal to vmm/loop.
//
// Threads: created disabled, so any one thread may fill it; enable() binds it to its caller for good
// (IORING_SETUP_SINGLE_ISSUER).
#pragma once

#include "vmm/base/result.h"

#include <liburing.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace godwit {

struct Completion {
    std::uint64_t user_data;
    std::int32_t result;
    std::uint32_t flags;
};

class Ring {
  public:
    static constexpr unsigned kSubmissionEntries = 256;
    static constexpr unsigned kCompletionEntries = 4096;
    static constexpr unsigned kFiles = 256;

    // The error names what the kernel lacks or refuses.
    static Result<std::unique_ptr<Ring>> create();
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    void enable();
    bool enabled() const { return enabled_; }

    // Handed to the kernel with the next submit. When the queue is full, what it holds is submitted first; if
    // the kernel cannot take it now, the request waits here. Order is kept.
    void push(const io_uring_sqe& request);
    void submit();
    // Submits everything in one system call and waits for a completion, at most `limit` (no limit when
    // absent; zero only looks). Signals and time-outs just return.
    void submit_and_wait(std::optional<std::chrono::nanoseconds> limit);
    std::optional<Completion> next();
    unsigned ready() const { return io_uring_cq_ready(&ring_); }

    Result<std::uint32_t> register_file(int fd);
    void release_file(std::uint32_t slot);

  private:
    Ring() = default;
    void move_backlog();

    io_uring ring_{};
    bool initialised_ = false;
    bool enabled_ = false;
    std::deque<io_uring_sqe> backlog_;
    std::vector<std::uint32_t> free_slots_; // the last one is used next
};

} // namespace godwit
