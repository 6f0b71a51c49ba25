// SPDX-License-Identifier: Apache-2.0
#include "devices/console/stdio_console.h"

#include "devices/console/stream_console.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <utility>

namespace godwit {

namespace {

// Both ends of a pipe to an interactive user or a CI job are the operator's own: longer patience than with a
// stranger.
constexpr std::chrono::milliseconds kStallLimit{10'000};

// The one terminal in raw mode, for atexit().
struct SavedMode {
    int fd;
    termios mode;
};
std::atomic<SavedMode*> saved_mode{nullptr};

void restore_terminal() {
    const std::unique_ptr<SavedMode> saved{saved_mode.exchange(nullptr)};
    if (saved)
        ::tcsetattr(saved->fd, TCSADRAIN, &saved->mode);
}

// In the background, changing our controlling terminal or reading from it would stop this process (SIGTTOU,
// SIGTTIN). Another terminal knows nothing of our process group and fails the question.
bool is_usable_terminal(int fd) {
    if (::isatty(fd) != 1)
        return false;
    const pid_t foreground = ::tcgetpgrp(fd);
    return foreground == -1 || foreground == ::getpgrp();
}

Status make_raw(int fd) {
    termios mode{};
    if (::tcgetattr(fd, &mode) != 0)
        return system_error(errno, "get the terminal's mode");
    termios raw = mode;
    ::cfmakeraw(&raw);
    raw.c_lflag |= ISIG; // for ^C alone
    raw.c_cc[VSUSP] = raw.c_cc[VQUIT] = _POSIX_VDISABLE;
    raw.c_oflag |= OPOST;
    static const bool registered = std::atexit(restore_terminal) == 0;
    if (!registered)
        return error(ErrorCode::System, "atexit failed");
    restore_terminal();
    saved_mode.store(new SavedMode{fd, mode});
    if (::tcsetattr(fd, TCSADRAIN, &raw) != 0)
        return system_error(errno, "set the terminal to raw mode");
    return {};
}

// Puts O_NONBLOCK on an open file that others share, and takes it off again.
class NonBlocking {
  public:
    explicit NonBlocking(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
        ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK);
    }
    ~NonBlocking() { ::fcntl(fd_, F_SETFL, flags_); }
    NonBlocking(const NonBlocking&) = delete;
    NonBlocking& operator=(const NonBlocking&) = delete;

  private:
    int fd_, flags_;
};

// A descriptor of our own that never blocks. Opening pipes and terminals anew gives an open file with flags
// of its own; a regular file must keep its offset and never blocks anyway; a socket is used with
// MSG_DONTWAIT.
Result<Fd> own_descriptor(int fd, int access, std::optional<NonBlocking>& fallback) {
    struct stat status {};
    if (::fstat(fd, &status) != 0)
        return system_error(errno, fmt::format("standard {}", access == O_RDONLY ? "input" : "output"));
    if (!S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode)) {
        auto own = open_file(fmt::format("/proc/self/fd/{}", fd), access | O_NONBLOCK | O_NOCTTY);
        if (own.ok())
            return own;
        fallback.emplace(fd); // another user's terminal, after su(1)
    }
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return system_error(errno, "duplicate a standard stream");
    return Fd::adopt(copy);
}

// What a person types at a raw terminal goes to the guest, but for what follows the escape key.
class EscapeKey {
  public:
    // How many bytes are left in front.
    std::size_t filter(std::span<std::byte> bytes) {
        std::size_t kept = 0;
        for (const std::byte byte : bytes) {
            if (std::exchange(escaped_, !escaped_ && byte == kEscape)) {
                if (byte == std::byte{'x'})
                    ::kill(::getpid(), SIGTERM); // ends the machine in order
                else if (byte == kEscape)
                    bytes[kept++] = byte;
            } else if (!escaped_) {
                bytes[kept++] = byte;
            }
        }
        return kept;
    }

  private:
    static constexpr std::byte kEscape{'A' & 0x1f}; // as QEMU's consoles have it
    bool escaped_ = false;
};

// Restores after the stream's last words: destroyed after `stream`.
class StdioConsole final : public Console {
  public:
    StdioConsole() = default;
    ~StdioConsole() override {
        stream.reset();
        if (raw)
            restore_terminal();
    }
    std::string describe() const override { return stream->describe(); }
    void connect(User* user) override { stream->connect(user); }
    std::size_t write(std::span<const std::byte> bytes) override { return stream->write(bytes); }
    std::size_t read(std::span<std::byte> room) override {
        for (;;) {
            const std::size_t count = stream->read(room);
            const std::size_t kept = raw ? escape.filter(room.first(count)) : count;
            if (kept != 0 || count == 0)
                return kept;
        }
    }
    void want_input() override { stream->want_input(); }
    Status flush(std::chrono::milliseconds limit) override { return stream->flush(limit); }

    std::optional<NonBlocking> input_flags, output_flags;
    std::unique_ptr<StreamConsole> stream;
    EscapeKey escape;
    bool raw = false;
};

} // namespace

Result<std::unique_ptr<Console>> make_stdio_console(Loop& loop, int input, int output) {
    auto console = std::make_unique<StdioConsole>();
    Fd in;
    Fd out = TRY_IN(own_descriptor(output, O_WRONLY, console->output_flags), "console");
    const bool terminal = ::isatty(input) == 1;
    if (is_usable_terminal(input)) {
        TRY_IN(make_raw(input), "console");
        console->raw = true;
    }
    // No input is no error: a daemon may have closed it.
    if (::fcntl(input, F_GETFD) != -1 && (!terminal || console->raw))
        in = TRY_IN(own_descriptor(input, O_RDONLY, console->input_flags), "console");
    console->stream =
        TRY(StreamConsole::create(loop, "stdio", {.stall = kStallLimit}, std::move(in), std::move(out)));
    return std::unique_ptr<Console>{std::move(console)};
}

Result<std::unique_ptr<Console>> make_stdio_console(Loop& loop) {
    return make_stdio_console(loop, STDIN_FILENO, STDOUT_FILENO);
}

} // namespace godwit
