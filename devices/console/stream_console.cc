// SPDX-License-Identifier: Apache-2.0
#include "devices/console/stream_console.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit {

namespace {

constexpr std::chrono::milliseconds kLastWords{1000};

bool is_kind(const Fd& fd, mode_t kind) {
    struct stat status {};
    return ::fstat(fd.get(), &status) == 0 && (status.st_mode & S_IFMT) == kind;
}

// As write(2), but a socket neither blocks nor raises SIGPIPE.
ssize_t write_some(const Fd& fd, std::span<const std::byte> bytes) {
    const auto sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && errno == ENOTSOCK ? ::write(fd.get(), bytes.data(), bytes.size()) : sent;
}

ssize_t read_some(const Fd& fd, std::span<std::byte> room) {
    const auto got = ::recv(fd.get(), room.data(), room.size(), MSG_DONTWAIT);
    return got < 0 && errno == ENOTSOCK ? ::read(fd.get(), room.data(), room.size()) : got;
}

} // namespace

StreamConsole::StreamConsole(Loop& loop, std::string description, Limits limits)
    : loop_(loop), description_(std::move(description)), limits_(limits),
      stall_timer_(loop.timer([this] { stalled(); })), queue_(limits.queue) {}

Result<std::unique_ptr<StreamConsole>> StreamConsole::create(Loop& loop, std::string description,
                                                             Limits limits, Fd input, Fd output) {
    auto console = std::make_unique<StreamConsole>(loop, std::move(description), limits);
    TRY(console->attach(std::move(input), std::move(output)));
    return console;
}

StreamConsole::~StreamConsole() {
    if (const auto flushed = flush(kLastWords); !flushed.ok())
        log::warning("{}", flushed.error().text);
}

void StreamConsole::later(void (StreamConsole::*what)()) {
    loop_.post([this, what, alive = std::weak_ptr{alive_}] {
        if (!alive.expired())
            (this->*what)();
    });
}

// ---- coming and going of the other side

Status StreamConsole::attach(Fd input, Fd output) {
    input_ = std::move(input);
    input_ended_ = !input_;
    hung_up_ = false;
    // A regular file is always ready, and cannot be polled.
    if (input_ && !is_kind(input_, S_IFREG))
        input_watch_ = TRY(loop_.watch(input_.get(), POLLIN | POLLRDHUP,
                                       [this](std::uint32_t events) { input_event(events); }));
    {
        const std::lock_guard lock{mutex_};
        output_ = std::move(output);
        reader_ = Reader::Present;
        stalled_ = false;
        drain_locked();
    }
    if (input_)
        want_input();
    return {};
}

void StreamConsole::detach() {
    input_watch_.reset();
    output_watch_.reset();
    stall_timer_->disarm();
    input_.reset();
    input_ended_ = true;
    {
        const std::lock_guard lock{mutex_};
        lose_reader_locked();
        output_.reset();
        started_ = false;
    }
}

void StreamConsole::lose_reader_locked() {
    if (reader_ == Reader::Gone)
        return;
    reader_ = keeps_output() ? Reader::Away : Reader::Gone;
    if (reader_ == Reader::Gone)
        queue_.pop(queue_.size());
    if (std::exchange(refused_, false))
        later(&StreamConsole::announce_output);
}

void StreamConsole::input_event(std::uint32_t events) {
    if ((events & (POLLHUP | POLLERR)) != 0) {
        hung_up_ = true;
        if (keeps_output()) { // for a terminal or a pipe, the ways are two descriptors
            const std::lock_guard lock{mutex_};
            lose_reader_locked();
        }
        if (input_ended_) // it was half closed before
            later(&StreamConsole::look_for_end);
    }
    announce_input();
}

void StreamConsole::announce_input() {
    if (user_ != nullptr)
        user_->input_ready();
}

void StreamConsole::announce_output() {
    if (user_ != nullptr)
        user_->output_ready();
}

void StreamConsole::look_for_end() {
    if (!input_ended_)
        return;
    if (hung_up_ || !keeps_output())
        input_watch_.reset();
    if (hung_up_)
        peer_gone();
}

// ---- input

std::size_t StreamConsole::read(std::span<std::byte> room) {
    if (input_ended_)
        return 0;
    const auto got = read_some(input_, room);
    if (got > 0)
        return static_cast<std::size_t>(got);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    // The end, a client that did not read all (ECONNRESET), a terminal that hung up. Not from here: the
    // caller may be in a callback of the watch.
    input_ended_ = true;
    if (got < 0)
        hung_up_ = true;
    later(&StreamConsole::look_for_end);
    return 0;
}

// ---- output

std::size_t StreamConsole::write(std::span<const std::byte> bytes) {
    const std::lock_guard lock{mutex_};
    std::size_t taken = 0;
    if (reader_ == Reader::Present && queue_.empty())
        taken = send_locked(bytes);
    const auto rest = bytes.subspan(taken);
    if (rest.empty() || reader_ == Reader::Gone)
        return bytes.size();
    if (reader_ == Reader::Away || stalled_) {
        queue_.push_dropping(rest);
        return bytes.size();
    }
    taken += queue_.push(rest);
    if (!std::exchange(started_, true))
        later(&StreamConsole::start_output);
    refused_ = taken < bytes.size();
    return taken;
}

// How many bytes are done with: written, or lost for a reason that the reader is not to blame for.
std::size_t StreamConsole::send_locked(std::span<const std::byte> bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const auto sent = write_some(output_, bytes.subspan(done));
        if (sent >= 0) {
            done += static_cast<std::size_t>(sent);
            continue;
        }
        const int problem = errno;
        if (problem == EINTR)
            continue;
        if (problem == EAGAIN)
            return done;
        if (problem == ENOSPC || problem == EDQUOT || problem == EFBIG) {
            log_.warning("{}; guest output is lost", system_error(problem, description_).text);
            return bytes.size();
        }
        log::info("{}", system_error(problem, description_).text);
        lose_reader_locked();
        return done;
    }
    return done;
}

void StreamConsole::drain_locked() {
    while (!queue_.empty() && reader_ == Reader::Present) {
        const std::size_t sent = send_locked(queue_.front());
        if (reader_ == Reader::Gone)
            return; // the queue has been emptied
        if (sent == 0)
            break;
        queue_.pop(sent);
        progress_ = true;
        stalled_ = false;
    }
    if (!queue_.empty() && reader_ == Reader::Present && !std::exchange(started_, true))
        later(&StreamConsole::start_output);
    // Half empty: the guest's next burst is worth a wake-up.
    if (refused_ && queue_.size() <= limits_.queue / 2) {
        refused_ = false;
        later(&StreamConsole::announce_output);
    }
}

void StreamConsole::start_output() {
    {
        const std::lock_guard lock{mutex_};
        if (queue_.empty() || reader_ != Reader::Present) {
            started_ = false;
            return;
        }
        progress_ = false;
    }
    auto watch = loop_.watch(output_.get(), POLLOUT, [this](std::uint32_t) { continue_output(); });
    if (!watch.ok()) {
        log::error("{}: {}", description_, watch.error().text);
        return;
    }
    output_watch_ = std::move(watch).value();
    stall_timer_->arm(limits_.stall);
}

void StreamConsole::continue_output() {
    bool done = false;
    {
        const std::lock_guard lock{mutex_};
        drain_locked();
        done = queue_.empty() || reader_ != Reader::Present;
        if (done)
            started_ = false;
    }
    if (done) {
        output_watch_.reset();
        stall_timer_->disarm();
    }
}

// The timer is not moved with each byte: it looks whether there was one.
void StreamConsole::stalled() {
    bool tell = false;
    {
        const std::lock_guard lock{mutex_};
        if (queue_.empty())
            return;
        if (!std::exchange(progress_, false)) {
            tell = !std::exchange(stalled_, true);
            if (std::exchange(refused_, false))
                later(&StreamConsole::announce_output);
        }
    }
    stall_timer_->arm(limits_.stall);
    if (tell)
        log_.warning(
            "{}: its reader takes nothing; the newest {} KiB of output are kept, the rest is dropped",
            description_, limits_.queue >> 10);
}

Status StreamConsole::flush(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        Fd output;
        std::size_t held = 0;
        {
            const std::lock_guard lock{mutex_};
            drain_locked();
            if (queue_.empty() || reader_ != Reader::Present)
                return {};
            held = queue_.size();
            output = TRY(output_.duplicate()); // the loop may close ours meanwhile
        }
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return error(ErrorCode::System, "{}: {} bytes of output are not written, its reader takes none",
                         description_, held);
        pollfd waited{output.get(), POLLOUT, 0};
        ::poll(&waited, 1, static_cast<int>(left.count()));
    }
}

} // namespace godwit
