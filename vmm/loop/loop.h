// SPDX-License-Identifier: Apache-2.0
//
// The I/O event loop: one thread, one io_uring. Devices, the control socket and timers live on it.
//
//     auto loop = TRY(Loop::create());
//     std::thread thread{[&] { loop->run(); }};
//     loop->call([&] { ... });       // from another thread: runs on the loop's thread, waits for the result
//     loop->quit();
//
// Requests are collected and submitted once per turn. A buffer lent to an Operation belongs to it until
// completed() is called, cancelled or not.
//
// The first run() or drain() binds the loop to its thread for good. Watches, timers, files and operations
// must be gone before the loop is.
//
// Re-entrancy: every callback may submit, watch, arm, post, quit, destroy its own watch or timer, and
// drain(). None may call run(). Inside drain() only Operation::completed() is called, which may drain()
// again.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <sys/uio.h>
#include <thread>
#include <type_traits>
#include <utility>

namespace godwit {

class Loop;

// A file in the ring's table of registered files. The number of the slot, given back on destruction; no
// operation on it may be in flight then. The ring holds its own reference: the Fd may be closed earlier.
class FixedFile {
  public:
    FixedFile() = default;
    FixedFile(FixedFile&& other) noexcept;
    FixedFile& operator=(FixedFile&& other) noexcept;
    ~FixedFile();
    explicit operator bool() const { return loop_ != nullptr; }

  private:
    friend class Loop;
    FixedFile(Loop* loop, std::uint32_t slot) : loop_(loop), slot_(slot) {}
    Loop* loop_ = nullptr;
    std::uint32_t slot_ = 0;
};

// Work handed to the kernel. Must not be destroyed, nor its buffers touched, between submission and
// completed().
class Operation {
  public:
    virtual ~Operation() = default;
    // On the loop's thread. As the system call's return value: bytes, or -errno. May submit again.
    virtual void completed(std::int32_t result) = 0;

  protected:
    Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
};

// Counts work in flight, so that somebody can wait for its end. Loop thread only.
class Gate {
  public:
    void enter() { ++inside_; }
    void leave() { --inside_; }
    bool empty() const { return inside_ == 0; }
    std::uint64_t inside() const { return inside_; }

  private:
    std::uint64_t inside_ = 0;
};

// Readiness callbacks end when this goes. Loop thread only.
class Watch {
  public:
    virtual ~Watch() = default;
};

class Timer {
  public:
    virtual ~Timer() = default;
    // Fires once; arming again replaces the former time. Loop thread only.
    virtual void arm(std::chrono::nanoseconds from_now) = 0;
    virtual void disarm() = 0;
};

class Loop {
  public:
    static Result<std::unique_ptr<Loop>> create();
    ~Loop();

    // Any thread. Runs on the loop's thread, in order of posting.
    void post(std::function<void()> work);
    // Any thread. Ends run() after the turn in which it is seen; before run(), ends the next one at once.
    void quit();
    // Any thread: whether the caller is the thread that the loop is bound to.
    bool is_inside() const;

    // Any thread. Runs `work` on the loop's thread and waits for it; directly when already there.
    // Never call it while holding a lock that loop callbacks take, nor when nobody will run the loop (again):
    // those who call must have ended before quit().
    template <class F>
    std::invoke_result_t<F> call(F&& work) {
        if (is_inside())
            return work();
        using R = std::invoke_result_t<F>;
        if constexpr (std::is_void_v<R>) {
            run_inside([&] { work(); });
        } else {
            std::optional<R> result;
            run_inside([&] { result.emplace(work()); });
            return std::move(*result);
        }
    }

    // ---- the rest on the loop's thread only (or before run())

    // Until quit(). Waits at its end for the operations in flight (at most 10 s, then says so in the log).
    void run();

    // Calls `ready` each time that one of `events` (EPOLLIN, EPOLLOUT...) newly holds, also once when it
    // holds from the start. The callback must read (or write) until EAGAIN. It gets the events that hold,
    // EPOLLERR and EPOLLHUP among them. Close `fd` only after the Watch is gone.
    Result<std::unique_ptr<Watch>> watch(int fd, std::uint32_t events,
                                         std::function<void(std::uint32_t)> ready);
    std::unique_ptr<Timer> timer(std::function<void()> expired);

    Result<FixedFile> register_file(const Fd& fd);
    // The vectors must stay valid until completed().
    void read(Operation& operation, const FixedFile& file, std::span<const iovec> buffers,
              std::uint64_t offset);
    void write(Operation& operation, const FixedFile& file, std::span<const iovec> buffers,
               std::uint64_t offset);
    void fdatasync(Operation& operation, const FixedFile& file);
    void fallocate(Operation& operation, const FixedFile& file, int mode, std::uint64_t offset,
                   std::uint64_t length);

    // Also before run(). Waits until the gate is empty. Meanwhile only completions of operations are
    // delivered; callbacks of watches, timers and posted work wait until the outer turn goes on, in their
    // order. An error names how many were left after `limit`.
    Status drain(const Gate& gate, std::chrono::seconds limit);

  private:
    friend class FixedFile;
    struct Impl;
    // What `work` throws (assertions of tests do) comes out here.
    void run_inside(std::function<void()> work);
    explicit Loop(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

} // namespace godwit
