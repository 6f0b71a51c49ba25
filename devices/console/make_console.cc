// SPDX-License-Identifier: Apache-2.0
#include "devices/console/make_console.h"

#include "devices/console/pty_console.h"
#include "devices/console/socket_console.h"
#include "devices/console/stdio_console.h"
#include "devices/console/stream_console.h"
#include "vmm/base/in_use.h"

#include <csignal>
#include <fcntl.h>

namespace godwit {

namespace {

class NullConsole final : public Console {
  public:
    std::string describe() const override { return "null"; }
    void connect(User*) override {}
    std::size_t write(std::span<const std::byte> bytes) override { return bytes.size(); }
    std::size_t read(std::span<std::byte>) override { return 0; }
    void want_input() override {}
    Status flush(std::chrono::milliseconds) override { return {}; }
};

Result<std::unique_ptr<Console>> make_file(Loop& loop, const ConsoleSpec& spec) {
    // Non-blocking for what is no regular file: a FIFO, a serial line. O_APPEND also when truncating: two
    // processes may write to one log while a guest moves between them.
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | (spec.truncate ? O_TRUNC : 0);
    TRY_IN(check_unlocked(spec.path), "console");
    Fd file = TRY_IN(open_file(spec.path, flags, 0644), "console");
    return TRY(StreamConsole::create(loop, fmt::format("file {}", spec.path), {}, Fd{}, std::move(file)));
}

} // namespace

Result<std::unique_ptr<Console>> make_console(Loop& loop, const ConsoleSpec& spec) {
    std::signal(SIGPIPE, SIG_IGN);
    switch (spec.kind) {
    case ConsoleSpec::Kind::Stdio:
        return make_stdio_console(loop);
    case ConsoleSpec::Kind::Null:
        return std::unique_ptr<Console>{std::make_unique<NullConsole>()};
    case ConsoleSpec::Kind::Pty:
        return make_pty_console(loop);
    case ConsoleSpec::Kind::File:
        return make_file(loop, spec);
    case ConsoleSpec::Kind::Socket:
        return TRY(SocketConsole::create(loop, spec.path));
    }
    return error(ErrorCode::Internal, "console kind {}", static_cast<int>(spec.kind));
}

} // namespace godwit
