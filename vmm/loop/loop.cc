// SPDX-License-Identifier: Apache-2.0
#include "vmm/loop/loop.h"

#include "vmm/base/log.h"
#include "vmm/loop/ring.h"
#include "vmm/loop/timers.h"

#include <atomic>
#include <cassert>
#include <cstring>
#include <future>
#include <mutex>
#include <poll.h>
#include <unordered_map>

namespace godwit {

namespace {

using Clock = TimerQueue::Clock;

// What a completion belongs to: the low bits of its user data. Operations are aligned, so theirs are zero.
enum Tag : std::uint64_t { kOperation = 0, kWatch = 1, kWake = 2, kIgnored = 3, kTagMask = 7 };

constexpr std::chrono::seconds kFinishLimit{10};

} // namespace

// Watches are found by a number that is never used again, so a completion that was queued before its watch
// went finds nothing.
struct WatchState {
    int fd = -1;
    std::uint32_t events = 0;
    std::function<void(std::uint32_t)> ready;
    std::uint32_t pending = 0; // events seen and not delivered
    bool ended = false;        // the kernel's multishot poll is over
    bool deferred = false;     // in Impl::deferred
};

struct Loop::Impl {
    explicit Impl(std::unique_ptr<Ring> the_ring, EventFd event)
        : ring(std::move(the_ring)), wake(std::move(event)) {}

    bool inside() const { return owner.load() == std::this_thread::get_id(); }
    bool may_touch() const { return inside() || !running.load(); }

    void bind();
    void push_wake();
    void push_poll(std::uint64_t id, const WatchState& state);
    void push_operation(Operation& operation, io_uring_sqe& request);
    void remove_watch(std::uint64_t id);

    bool has_posted() {
        const std::lock_guard lock{mutex};
        return !posted.empty();
    }
    void turn();
    void dispatch(const Completion& completion);
    void complete(const Completion& completion);
    void note(const Completion& completion);
    void deliver(std::uint64_t id);
    void deliver_deferred();
    void run_posted();
    // Completions of operations only, until `done` or `deadline`.
    template <class Done>
    bool operations_until(Done done, Clock::time_point deadline);
    void finish_operations();

    std::unique_ptr<Ring> ring;
    std::atomic<std::thread::id> owner{};
    std::atomic<bool> running{false};

    EventFd wake;
    std::uint64_t wake_count = 0; // where the kernel reads the eventfd to

    std::mutex mutex;
    std::vector<std::function<void()>> posted; // under mutex
    std::atomic<bool> quit{false};

    TimerQueue timers;
    std::unordered_map<std::uint64_t, std::shared_ptr<WatchState>> watches;
    std::uint64_t next_watch = 1;
    std::deque<std::uint64_t> deferred; // watches that fired inside drain()
    std::uint64_t in_flight = 0;        // operations
};

void Loop::Impl::bind() {
    if (owner.load() == std::thread::id{}) {
        owner.store(std::this_thread::get_id());
        ring->enable();
        push_wake();
    }
    assert(inside() && "a loop stays on the thread that ran it first");
}

void Loop::Impl::push_wake() {
    io_uring_sqe request{};
    io_uring_prep_read(&request, wake.fd(), &wake_count, sizeof wake_count, 0);
    io_uring_sqe_set_data64(&request, kWake);
    ring->push(request);
}

void Loop::Impl::push_poll(std::uint64_t id, const WatchState& state) {
    io_uring_sqe request{};
    io_uring_prep_poll_multishot(&request, state.fd, state.events);
    io_uring_sqe_set_data64(&request, id << 3 | kWatch);
    ring->push(request);
}

void Loop::Impl::push_operation(Operation& operation, io_uring_sqe& request) {
    assert(may_touch());
    io_uring_sqe_set_flags(&request, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(&request, reinterpret_cast<std::uint64_t>(&operation));
    ++in_flight;
    ring->push(request);
}

void Loop::Impl::remove_watch(std::uint64_t id) {
    assert(may_touch());
    watches.erase(id);
    io_uring_sqe request{};
    // Not a poll removal: the kernel refuses that one (EALREADY) while it handles an event of this very poll,
    // which would then go on and keep the file open.
    io_uring_prep_cancel64(&request, id << 3 | kWatch, 0);
    io_uring_sqe_set_flags(&request, IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(&request, kIgnored);
    ring->push(request);
}

void Loop::Impl::turn() {
    std::optional<std::chrono::nanoseconds> limit = timers.remaining(Clock::now());
    if (quit.load() || !deferred.empty() || has_posted())
        limit = std::chrono::nanoseconds{0};
    ring->submit_and_wait(limit);
    // Only what was there at the start: a source that never falls silent must not starve the rest.
    for (auto left = ring->ready(); left != 0 || !deferred.empty();) {
        deliver_deferred();
        if (left == 0)
            break;
        --left;
        const auto completion = ring->next();
        if (!completion.has_value())
            break; // a nested drain() took them
        dispatch(*completion);
    }
    run_posted();
    timers.fire(Clock::now());
}

void Loop::Impl::dispatch(const Completion& completion) {
    switch (completion.user_data & kTagMask) {
    case kOperation:
        return complete(completion);
    case kWatch:
        note(completion);
        return deliver(completion.user_data >> 3);
    case kWake:
        return push_wake();
    default:
        return;
    }
}

void Loop::Impl::complete(const Completion& completion) {
    --in_flight;
    reinterpret_cast<Operation*>(completion.user_data)->completed(completion.result);
}

void Loop::Impl::note(const Completion& completion) {
    const auto found = watches.find(completion.user_data >> 3);
    if (found == watches.end())
        return;
    WatchState& state = *found->second;
    if (completion.result < 0) {
        log::error("{}",
                   system_error(-completion.result, fmt::format("poll file descriptor {}", state.fd)).text);
        state.pending |= POLLERR;
        return;
    }
    state.pending |= static_cast<std::uint32_t>(completion.result);
    if ((completion.flags & IORING_CQE_F_MORE) == 0)
        state.ended = true;
}

void Loop::Impl::deliver(std::uint64_t id) {
    const auto found = watches.find(id);
    if (found == watches.end())
        return;
    const auto state = found->second; // the callback may destroy its own watch
    const auto events = std::exchange(state->pending, 0);
    if (events == 0)
        return;
    if (std::exchange(state->ended, false))
        push_poll(id, *state); // it looks at once whether an event holds, so nothing is missed
    state->ready(events);
}

void Loop::Impl::deliver_deferred() {
    while (!deferred.empty()) {
        const auto id = deferred.front();
        deferred.pop_front();
        if (const auto found = watches.find(id); found != watches.end())
            found->second->deferred = false;
        deliver(id);
    }
}

void Loop::Impl::run_posted() {
    std::vector<std::function<void()>> batch;
    {
        const std::lock_guard lock{mutex};
        batch.swap(posted);
    }
    for (const auto& work : batch)
        work();
}

template <class Done>
bool Loop::Impl::operations_until(Done done, Clock::time_point deadline) {
    while (!done()) {
        const auto left = deadline - Clock::now();
        if (left.count() <= 0)
            return false;
        ring->submit_and_wait(left);
        while (const auto completion = ring->next()) {
            switch (completion->user_data & kTagMask) {
            case kOperation:
                complete(*completion);
                break;
            case kWatch: {
                note(*completion);
                const auto id = completion->user_data >> 3;
                const auto found = watches.find(id);
                if (found != watches.end() && !std::exchange(found->second->deferred, true))
                    deferred.push_back(id);
                break;
            }
            case kWake:
                push_wake(); // what was posted waits in its queue
                break;
            default:
                break;
            }
        }
    }
    return true;
}

void Loop::Impl::finish_operations() {
    if (!operations_until([this] { return in_flight == 0; }, Clock::now() + kFinishLimit))
        log::error("{} I/O operations did not end within {} s", in_flight, kFinishLimit.count());
}

// ---- the interface

FixedFile::FixedFile(FixedFile&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), slot_(other.slot_) {}

FixedFile& FixedFile::operator=(FixedFile&& other) noexcept {
    std::swap(loop_, other.loop_);
    std::swap(slot_, other.slot_);
    return *this;
}

FixedFile::~FixedFile() {
    if (loop_ == nullptr)
        return;
    assert(loop_->impl_->may_touch());
    loop_->impl_->ring->release_file(slot_);
}

Loop::Loop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Loop>> Loop::create() {
    auto ring = TRY(Ring::create());
    auto wake = TRY(EventFd::create());
    return std::unique_ptr<Loop>{new Loop{std::make_unique<Impl>(std::move(ring), std::move(wake))}};
}

Loop::~Loop() {
    assert(!impl_->running.load());
    if (impl_->in_flight == 0 || !impl_->ring->enabled())
        return;
    if (impl_->inside())
        impl_->finish_operations();
    else // the kernel ended them when the loop's thread did
        log::warning("{} I/O operations were in flight when the loop's thread ended", impl_->in_flight);
}

void Loop::post(std::function<void()> work) {
    bool first = false;
    {
        const std::lock_guard lock{impl_->mutex};
        first = impl_->posted.empty();
        impl_->posted.push_back(std::move(work));
    }
    if (first && !impl_->inside())
        impl_->wake.signal();
}

void Loop::quit() {
    impl_->quit.store(true);
    impl_->wake.signal();
}

void Loop::run_inside(std::function<void()> work) {
    std::packaged_task<void()> task{std::move(work)};
    auto done = task.get_future();
    post([&task] { task(); });
    done.get();
}

bool Loop::is_inside() const {
    return impl_->inside();
}

void Loop::run() {
    assert(!impl_->running.load());
    impl_->bind();
    impl_->running.store(true);
    while (!impl_->quit.load())
        impl_->turn();
    impl_->finish_operations();
    impl_->quit.store(false);
    impl_->running.store(false);
}

std::unique_ptr<Timer> Loop::timer(std::function<void()> expired) {
    return impl_->timers.make(std::move(expired));
}

Result<std::unique_ptr<Watch>> Loop::watch(int fd, std::uint32_t events,
                                           std::function<void(std::uint32_t)> ready) {
    assert(impl_->may_touch());
    struct Handle final : Watch {
        Handle(Impl& the_impl, std::uint64_t the_id) : impl(the_impl), id(the_id) {}
        ~Handle() override { impl.remove_watch(id); }
        Impl& impl;
        std::uint64_t id;
    };
    if (fd < 0)
        return error(ErrorCode::Internal, "watch: file descriptor {}", fd);
    auto state = std::make_shared<WatchState>();
    state->fd = fd;
    state->events = events;
    state->ready = std::move(ready);
    const auto id = impl_->next_watch++;
    impl_->push_poll(id, *state);
    impl_->watches.emplace(id, std::move(state));
    return std::unique_ptr<Watch>{std::make_unique<Handle>(*impl_, id)};
}

Result<FixedFile> Loop::register_file(const Fd& fd) {
    assert(impl_->may_touch());
    return FixedFile{this, TRY(impl_->ring->register_file(fd.get()))};
}

void Loop::read(Operation& operation, const FixedFile& file, std::span<const iovec> buffers,
                std::uint64_t offset) {
    io_uring_sqe request{};
    io_uring_prep_readv(&request, static_cast<int>(file.slot_), buffers.data(),
                        static_cast<unsigned>(buffers.size()), offset);
    impl_->push_operation(operation, request);
}

void Loop::write(Operation& operation, const FixedFile& file, std::span<const iovec> buffers,
                 std::uint64_t offset) {
    io_uring_sqe request{};
    io_uring_prep_writev(&request, static_cast<int>(file.slot_), buffers.data(),
                         static_cast<unsigned>(buffers.size()), offset);
    impl_->push_operation(operation, request);
}

void Loop::fdatasync(Operation& operation, const FixedFile& file) {
    io_uring_sqe request{};
    io_uring_prep_fsync(&request, static_cast<int>(file.slot_), IORING_FSYNC_DATASYNC);
    impl_->push_operation(operation, request);
}

void Loop::fallocate(Operation& operation, const FixedFile& file, int mode, std::uint64_t offset,
                     std::uint64_t length) {
    io_uring_sqe request{};
    io_uring_prep_fallocate(&request, static_cast<int>(file.slot_), mode, static_cast<off_t>(offset),
                            static_cast<off_t>(length));
    impl_->push_operation(operation, request);
}

Status Loop::drain(const Gate& gate, std::chrono::seconds limit) {
    if (gate.empty())
        return {};
    if (impl_->owner.load() != std::thread::id{} && !impl_->inside())
        return error(ErrorCode::Internal, "drain: not on the loop's thread");
    impl_->bind();
    if (!impl_->operations_until([&] { return gate.empty(); }, Clock::now() + limit))
        return error(ErrorCode::System, "{} operations did not end within {} s", gate.inside(),
                     limit.count());
    return {};
}

} // namespace godwit
