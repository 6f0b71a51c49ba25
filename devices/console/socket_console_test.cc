// SPDX-License-Identifier: Apache-2.0
#include "devices/console/socket_console.h"

#include "devices/console/console_fixture.h"

#include <sys/stat.h>

namespace godwit {

TEST_CASE("a socket keeps output for its first client, then serves one at a time", "[console]") {
    LoopFixture f;
    const Directory directory;
    const auto path = directory.file("console");
    auto console = std::move(make_console(*f.loop, {ConsoleSpec::Kind::Socket, path, false})).value();
    Reader user{*console};
    struct stat status {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(console->write(bytes_of("boot ")) == 5);
    CHECK(console->flush(0ms).ok()); // nobody to wait for

    Fd first = connect_to(path), second = connect_to(path);
    REQUIRE(first);
    REQUIRE(second);
    std::string got;
    f.run_until([&] { return (got += take(first)) == "boot "; });
    CHECK(console->write(bytes_of("live")) == 4);
    CHECK(take(first) == "live");
    put(first, "hello");
    put(second, "later");
    f.run_until([&] { return user.got == "hello"; });
    f.settle();
    CHECK(take(second).empty());
    CHECK(user.got == "hello");

    first.reset();
    f.run_until([&] { return user.got == "hellolater"; });
    CHECK(console->write(bytes_of("for two")) == 7);
    CHECK(take(second) == "for two");
}

TEST_CASE("a client's last words are read, and a half-closed one still reads", "[console]") {
    LoopFixture f;
    const Directory directory;
    const auto path = directory.file("console");
    auto console = std::move(make_console(*f.loop, {ConsoleSpec::Kind::Socket, path, false})).value();
    Reader user{*console};
    Fd client = connect_to(path);
    put(client, "reboot\n");
    REQUIRE(::shutdown(client.get(), SHUT_WR) == 0);
    f.run_until([&] { return user.got == "reboot\n"; });
    f.settle();
    CHECK(console->write(bytes_of("ok")) == 2);
    CHECK(take(client) == "ok");
    {
        const Fd waiting = connect_to(path);
        f.settle();
        client.reset(); // now the next one's turn
        put(waiting, "next");
        f.run_until([&] { return user.got == "reboot\nnext"; });
    }
    f.settle();

    user.got.clear();
    user.room = 0;
    {
        const Fd brief = connect_to(path);
        put(brief, "poweroff\n");
        f.settle();
        CHECK(console->write(bytes_of("unread")) == 6);
    }
    f.settle();
    user.room = 100;
    console->want_input();
    f.run_until([&] { return user.got == "poweroff\n"; });
    client = connect_to(path);
    REQUIRE(client);
    put(client, "x");
    f.run_until([&] { return user.got == "poweroff\nx"; });
}

TEST_CASE("a dead client that left input does not keep the next one out", "[console]") {
    LoopFixture f;
    const Directory directory;
    const auto path = directory.file("console");
    auto console = std::move(make_console(*f.loop, {ConsoleSpec::Kind::Socket, path, false})).value();
    Reader user{*console};
    user.room = 0; // the guest reads nothing
    Fd dead = connect_to(path);
    put(dead, "ignored");
    f.settle();
    dead.reset();
    f.settle();
    const Fd alive = connect_to(path);
    f.settle();
    CHECK(console->write(bytes_of("hi")) == 2);
    std::string got;
    f.run_until([&] { return (got += take(alive)) == "hi"; });
}

TEST_CASE("a client that reads nothing holds the writer only for a while", "[console]") {
    LoopFixture f;
    const Directory directory;
    auto console = std::move(SocketConsole::create(*f.loop, directory.file("console"), {4096, 20ms})).value();
    Reader user{*console};
    Fd client = connect_to(directory.file("console"));
    f.settle();
    const std::string chunk(1000, 'x');
    std::size_t total = 0, taken = 0;
    while ((taken = console->write(bytes_of(chunk))) == chunk.size())
        REQUIRE((total += taken) < 10'000'000);
    CHECK(user.output_calls == 0);
    f.run_until([&] { return user.output_calls != 0; });
    for (int i = 0; i < 100; ++i)
        CHECK(console->write(bytes_of(chunk)) == chunk.size());
    CHECK(console->write(bytes_of("newest")) == 6);
    // It wakes up: the newest part is there, and backpressure works again.
    std::string got;
    f.run_until([&] {
        got += take(client);
        return got.ends_with("newest");
    });
    CHECK(got.size() < total + 10'000);
    while ((taken = console->write(bytes_of(chunk))) == chunk.size())
        ;
    CHECK(taken < chunk.size());
    client.reset(); // and somebody who waits is told when the client goes
    const int calls = user.output_calls;
    f.run_until([&] { return user.output_calls > calls; });
}

TEST_CASE("a socket path: stale ones are taken over, others refused, ours removed", "[console]") {
    LoopFixture f;
    const Directory directory;
    const auto path = directory.file("console");
    const auto make = [&](const std::string& where) {
        return make_console(*f.loop, {ConsoleSpec::Kind::Socket, where, false});
    };
    {
        auto console = make(path);
        REQUIRE(console.ok());
        const auto refused = make(path);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().text.find("in use") != std::string::npos);
    }
    CHECK(::access(path.c_str(), F_OK) != 0);
    {
        const Fd stale = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.data(), path.size());
        REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    CHECK(make(path).ok());
    const auto file = directory.file("precious");
    put(Fd::adopt(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), "data");
    CHECK_FALSE(make(file).ok());
    CHECK(content(file) == "data");
    CHECK_FALSE(make(std::string(200, 'x')).ok());
}

} // namespace godwit
