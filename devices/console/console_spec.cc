// SPDX-License-Identifier: Apache-2.0
#include "devices/console/console_spec.h"

#include "devices/console/pty_console.h"
#include "devices/console/socket_console.h"
#include "devices/console/stdio_console.h"
#include "devices/console/stream_console.h"

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
    Fd file = TRY_IN(open_file(spec.path, flags, 0644), "console");
    return TRY(StreamConsole::create(loop, fmt::format("file {}", spec.path), {}, Fd{}, std::move(file)));
}

} // namespace

Result<ConsoleSpec> parse_console(std::string_view text) {
    using Kind = ConsoleSpec::Kind;
    if (text == "stdio")
        return ConsoleSpec{Kind::Stdio, {}, false};
    if (text == "null")
        return ConsoleSpec{Kind::Null, {}, false};
    if (text == "pty")
        return ConsoleSpec{Kind::Pty, {}, false};
    ConsoleSpec spec;
    if (constexpr std::string_view kFile = "file="; text.starts_with(kFile)) {
        constexpr std::string_view kTruncate = ",truncate";
        spec.kind = Kind::File;
        spec.truncate = text.ends_with(kTruncate);
        text.remove_prefix(kFile.size());
        text.remove_suffix(spec.truncate ? std::min(kTruncate.size(), text.size()) : 0);
    } else if (constexpr std::string_view kSocket = "socket="; text.starts_with(kSocket)) {
        spec.kind = Kind::Socket;
        text.remove_prefix(kSocket.size());
    } else {
        return invalid_input("console '{}': expected stdio, null, pty, file=PATH[,truncate] or socket=PATH",
                             text);
    }
    if (text.empty())
        return invalid_input("console: the path is empty");
    spec.path = text;
    return spec;
}

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
