// SPDX-License-Identifier: Apache-2.0
#include "devices/console/make_console.h"

#include "devices/console/console_fixture.h"
#include "devices/console/output_queue.h"
#include "devices/console/stdio_console.h"

#include <csignal>
#include <poll.h>
#include <termios.h>

namespace godwit {

TEST_CASE("console specifications are parsed", "[console]") {
    using Kind = ConsoleSpec::Kind;
    const auto parsed = [](std::string_view text) {
        auto spec = parse_console_spec(text);
        REQUIRE(spec.ok());
        return spec.value();
    };
    CHECK(parsed("stdio") == ConsoleSpec{Kind::Stdio, "", false});
    CHECK(parsed("null") == ConsoleSpec{Kind::Null, "", false});
    CHECK(parsed("pty") == ConsoleSpec{Kind::Pty, "", false});
    CHECK(parsed("file=/tmp/a,b") == ConsoleSpec{Kind::File, "/tmp/a,b", false});
    CHECK(parsed("file=/tmp/a,truncate") == ConsoleSpec{Kind::File, "/tmp/a", true});
    CHECK(parsed("socket=/run/x") == ConsoleSpec{Kind::Socket, "/run/x", false});
    for (const auto* bad : {"", "file", "file=", "file=,truncate", "socket=", "stdio,", "tcp=1"})
        CHECK(parse_console_spec(bad).error().code == ErrorCode::InvalidInput);
}

TEST_CASE("the output queue keeps its limit and its order", "[console]") {
    OutputQueue queue{8};
    const auto text = [&] {
        const auto front = queue.front();
        return std::string{reinterpret_cast<const char*>(front.data()), front.size()};
    };
    CHECK(queue.push(bytes_of("abcde")) == 5);
    CHECK(queue.push(bytes_of("fghij")) == 3);
    CHECK(text() == "abcdefgh");
    queue.pop(3);
    CHECK(queue.room() == 3);
    CHECK(queue.push(bytes_of("ij")) == 2);
    CHECK(text() == "defghij");
    CHECK(queue.push_dropping(bytes_of("klm")) == 2);
    CHECK(text() == "fghijklm");
    CHECK(queue.push_dropping(bytes_of("0123456789")) == 10);
    CHECK(text() == "23456789");
    queue.pop(8);
    CHECK(queue.empty());
    for (int i = 0; i < 100; ++i) {
        CHECK(queue.push(bytes_of("xyz")) == 3);
        CHECK(text() == "xyz");
        queue.pop(3);
    }
}

TEST_CASE("null takes everything", "[console]") {
    LoopFixture f;
    const auto console = std::move(make_console(*f.loop, {ConsoleSpec::Kind::Null, "", false})).value();
    CHECK(console->write(bytes_of("abc")) == 3);
    CHECK(console->flush(0ms).ok());
}

TEST_CASE("a file is appended to, or emptied first", "[console]") {
    LoopFixture f;
    const Directory directory;
    const auto path = directory.file("log");
    const auto write = [&](std::string_view text, bool truncate) {
        const auto console = make_console(*f.loop, {ConsoleSpec::Kind::File, path, truncate});
        REQUIRE(console.ok());
        CHECK((*console.value()).write(bytes_of(text)) == text.size());
        CHECK((*console.value()).flush(0ms).ok());
    };
    write("one", false);
    write("two", false);
    CHECK(content(path) == "onetwo");
    write("three", true);
    CHECK(content(path) == "three");
    CHECK_FALSE(make_console(*f.loop, {ConsoleSpec::Kind::File, directory.file("no/such"), false}).ok());
    const auto full = std::move(make_console(*f.loop, {ConsoleSpec::Kind::File, "/dev/full", false})).value();
    CHECK(full->write(bytes_of("lost")) == 4); // a full disk does not stop the guest
}

TEST_CASE("a pipe that is full refuses, then takes all in order", "[console]") {
    LoopFixture f;
    Pipe in, out;
    set_nonblocking(out.read_end);
    auto console = std::move(make_stdio_console(*f.loop, in.read_end.get(), out.write_end.get())).value();
    Reader user{*console};
    CHECK((::fcntl(out.write_end.get(), F_GETFL) & O_NONBLOCK) == 0); // the caller's own stays as it was
    std::string sent;
    std::size_t taken = 0;
    do {
        const std::string chunk(1000, static_cast<char>('a' + sent.size() / 1000 % 26));
        taken = console->write(bytes_of(chunk));
        sent += chunk.substr(0, taken);
        REQUIRE(sent.size() < 10'000'000);
    } while (taken == 1000);
    CHECK_FALSE(console->flush(1ms).ok());
    std::string got;
    f.run_until([&] {
        got += take(out.read_end);
        return user.output_calls != 0;
    });
    CHECK(console->write(bytes_of("end")) == 3);
    sent += "end";
    f.run_until([&] {
        got += take(out.read_end);
        return got.size() == sent.size();
    });
    CHECK(got == sent);
    CHECK(console->flush(0ms).ok());
}

TEST_CASE("a pipe whose reader is gone takes everything", "[console]") {
    LoopFixture f;
    Pipe in, out;
    std::signal(SIGPIPE, SIG_IGN);
    auto console = std::move(make_stdio_console(*f.loop, in.read_end.get(), out.write_end.get())).value();
    out.read_end.reset();
    const std::string much(1'000'000, 'x');
    CHECK(console->write(bytes_of(much)) == much.size());
    CHECK(console->write(bytes_of(much)) == much.size());
    CHECK(console->flush(0ms).ok());
}

TEST_CASE("input is pulled as there is room, and its end is no busy loop", "[console]") {
    LoopFixture f;
    Pipe in, out;
    auto console = std::move(make_stdio_console(*f.loop, in.read_end.get(), out.write_end.get())).value();
    Reader user{*console};
    user.room = 4;
    put(in.write_end, "abcdefg");
    f.run_until([&] { return user.got == "abcd"; });
    f.settle();
    CHECK(user.got == "abcd");
    user.room = 100;
    console->want_input();
    f.run_until([&] { return user.got == "abcdefg"; });
    put(in.write_end, "h");
    f.run_until([&] { return user.got == "abcdefgh"; });
    in.write_end.reset();
    f.settle();
    const int calls = user.input_calls;
    f.settle();
    CHECK(user.input_calls == calls);
}

TEST_CASE("input from a regular file and from /dev/null", "[console]") {
    LoopFixture f;
    const Directory directory;
    const Pipe out;
    {
        const Fd file = Fd::adopt(::open(directory.file("in").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        put(file, "from a file");
        REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);
        auto console = std::move(make_stdio_console(*f.loop, file.get(), out.write_end.get())).value();
        Reader user{*console};
        f.run_until([&] { return user.got == "from a file"; });
    }
    const Fd null = Fd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    auto console = std::move(make_stdio_console(*f.loop, null.get(), out.write_end.get())).value();
    Reader user{*console};
    f.settle();
    CHECK(user.got.empty());
    CHECK(user.input_calls < 5);
}

TEST_CASE("no standard input is no error, no standard output is", "[console]") {
    LoopFixture f;
    const Pipe pipe;
    CHECK(make_stdio_console(*f.loop, -1, pipe.write_end.get()).ok());
    CHECK_FALSE(make_stdio_console(*f.loop, pipe.read_end.get(), -1).ok());
}

TEST_CASE("a terminal is raw as long as the console lives, except for signals and output", "[console]") {
    LoopFixture f;
    const Fd master = Fd::adopt(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    REQUIRE(::unlockpt(master.get()) == 0);
    const Fd terminal = Fd::adopt(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    const auto flags = [&] {
        termios mode{};
        REQUIRE(::tcgetattr(terminal.get(), &mode) == 0);
        return std::pair{mode.c_lflag & (ICANON | ECHO | ISIG), mode.c_oflag & OPOST};
    };
    const auto before = flags();
    REQUIRE(before.first == (ICANON | ECHO | ISIG));
    {
        auto console = std::move(make_stdio_console(*f.loop, terminal.get(), terminal.get())).value();
        Reader user{*console};
        CHECK(flags() == std::pair<tcflag_t, tcflag_t>{ISIG, OPOST});
        put(master, "x"); // no line, no echo
        f.run_until([&] { return user.got == "x"; });
        CHECK(console->write(bytes_of("login:\n")) == 7);
        CHECK(take(master) == "login:\r\n");
    }
    CHECK(flags() == before);
    CHECK((::fcntl(terminal.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("at a raw terminal ^Z and ^\\ are the guest's, and ^A x ends the machine in order", "[console]") {
    static volatile std::sig_atomic_t ended = 0;
    const auto former = std::signal(SIGTERM, [](int) { ended = ended + 1; });
    LoopFixture f;
    const Fd master = Fd::adopt(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    REQUIRE(::unlockpt(master.get()) == 0);
    const Fd terminal = Fd::adopt(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    auto console = std::move(make_stdio_console(*f.loop, terminal.get(), terminal.get())).value();
    Reader user{*console};
    termios mode{};
    REQUIRE(::tcgetattr(terminal.get(), &mode) == 0);
    CHECK(mode.c_cc[VINTR] == 'C' - '@');
    put(master, "\x1a\x1c\x01\x01\x01yz");
    f.run_until([&] { return user.got == "\x1a\x1c\x01z"; });
    CHECK(ended == 0);
    put(master, "\x01"); // nothing for the guest, and not the end of its input
    f.settle();
    put(master, "x.");
    f.run_until([&] { return user.got == "\x1a\x1c\x01z."; });
    CHECK(ended == 1);
    std::signal(SIGTERM, former);
}

TEST_CASE("output from another thread arrives whole and in order, however slow the reader", "[console]") {
    auto loop = std::move(Loop::create()).value();
    std::thread loop_thread{[&] { loop->run(); }};
    Pipe in, out;
    auto console = loop->call(
        [&] { return std::move(make_stdio_console(*loop, in.read_end.get(), out.write_end.get())).value(); });
    struct Waiter final : Console::User {
        void input_ready() override {}
        void output_ready() override { event.signal(); }
        EventFd event = std::move(EventFd::create()).value();
    } waiter;
    loop->call([&] { console->connect(&waiter); });
    constexpr std::size_t kTotal = 2'000'000;
    std::thread writer{[&] { // as a vCPU, but for the waiting
        std::size_t sent = 0;
        while (sent < kTotal) {
            std::array<std::byte, 300> chunk;
            for (std::size_t i = 0; i < chunk.size(); ++i)
                chunk[i] = static_cast<std::byte>((sent + i) % 251);
            const auto part = std::span{chunk}.first(std::min(chunk.size(), kTotal - sent));
            const auto taken = console->write(part);
            sent += taken;
            if (taken < part.size()) {
                pollfd waited{waiter.event.fd(), POLLIN, 0};
                ::poll(&waited, 1, 5000);
                waiter.event.consume();
            }
        }
    }};
    std::size_t got = 0, wrong = 0;
    std::array<unsigned char, 5000> buffer{};
    while (got < kTotal) {
        const auto count = ::read(out.read_end.get(), buffer.data(), buffer.size());
        REQUIRE(count > 0);
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
            wrong += buffer[i] == (got + i) % 251 ? 0U : 1U;
        got += static_cast<std::size_t>(count);
        if (got % 7 == 0)
            std::this_thread::yield();
    }
    writer.join();
    CHECK(wrong == 0);
    CHECK(console->flush(5s).ok());
    loop->call([&] {
        console->connect(nullptr);
        console.reset();
    });
    loop->quit();
    loop_thread.join();
}

TEST_CASE("a pty is raw, named, and works both ways", "[console]") {
    LoopFixture f;
    auto console = std::move(make_console(*f.loop, {ConsoleSpec::Kind::Pty, "", false})).value();
    Reader user{*console};
    REQUIRE(console->describe().starts_with("pty /dev/pts/"));
    CHECK(console->write(bytes_of("before\n")) == 7);
    f.settle();
    CHECK(user.got.empty()); // no echo
    for (int connection = 0; connection < 2; ++connection) {
        const Fd terminal = Fd::adopt(
            ::open(console->describe().substr(4).c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
        REQUIRE(static_cast<bool>(terminal));
        CHECK(console->write(bytes_of("x\n")) == 2);
        std::string got;
        f.run_until([&] {
            got += take(terminal);
            return got == (connection == 0 ? "before\nx\n" : "x\n");
        });
        user.got.clear();
        put(terminal, "typed\r");
        f.run_until([&] { return user.got == "typed\r"; });
    }
}

TEST_CASE("what is queued when the console goes is still written", "[console]") {
    LoopFixture f;
    Pipe in, out;
    std::string expected;
    std::string got;
    std::thread reader;
    {
        auto console = std::move(make_stdio_console(*f.loop, in.read_end.get(), out.write_end.get())).value();
        expected.assign(150'000, 'q'); // more than the pipe holds
        REQUIRE(console->write(bytes_of(expected)) == expected.size());
        out.write_end.reset();
        reader = std::thread{[&] { got = take(out.read_end); }};
    }
    reader.join();
    CHECK(got == expected);
}

} // namespace godwit
