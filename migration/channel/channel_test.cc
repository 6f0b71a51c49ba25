// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/listener.h"
#include "migration/channel/socket_channel.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace godwit;
using namespace godwit::migration;
using namespace std::chrono_literals;

namespace {

struct Pair {
    std::unique_ptr<Channel> a;
    std::unique_ptr<Channel> b;
};

Pair socket_pair() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    return {std::move(SocketChannel::adopt(Fd::adopt(fds[0]), "a")).value(),
            std::move(SocketChannel::adopt(Fd::adopt(fds[1]), "b")).value()};
}

Status write(Channel& channel, std::span<const std::byte> bytes) {
    const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    return channel.write(std::span{&part, 1});
}

std::string parse_error(std::string_view text) {
    return Address::parse(text).error().text;
}

// One byte in each direction.
void check_connection(const Address& where) {
    auto listener = std::move(Listener::open(where)).value();
    auto client = std::move(SocketChannel::connect(listener.address(), 5s, nullptr)).value();
    auto server = std::move(listener.accept(5s, nullptr)).value();
    for (Channel* const from : {client.get(), server.get()}) {
        Channel& to = from == client.get() ? *server : *client;
        std::byte sent{42};
        std::byte received{0};
        REQUIRE(write(*from, {&sent, 1}).ok());
        REQUIRE(to.read(std::span{&received, 1}).ok());
        REQUIRE(received == sent);
    }
}

} // namespace

TEST_CASE("addresses are parsed and printed", "[channel]") {
    for (const char* text : {"tcp:host.example:4444", "tcp:127.0.0.1:0", "tcp:[::1]:65535", "tcp::4444",
                             "unix:/run/x:y", "fd:7", "fd:migration"})
        REQUIRE(Address::parse(text)->text() == text);
    REQUIRE(Address::parse("tcp:[::]:1")->host == "::");
}

TEST_CASE("a bad address says what is wrong with it", "[channel]") {
    REQUIRE(parse_error("host:1") == "address 'host:1' is none of tcp:HOST:PORT, unix:PATH, fd:N or fd:NAME");
    REQUIRE(parse_error("tcp:host") == "address 'tcp:host' has no port: tcp:HOST:PORT is wanted");
    REQUIRE(parse_error("tcp:host:65536") == "address 'tcp:host:65536': '65536' is not a port (0 to 65535)");
    REQUIRE(parse_error("tcp:host:") == "address 'tcp:host:': '' is not a port (0 to 65535)");
    REQUIRE(parse_error("tcp:::1:80").ends_with("in brackets, tcp:[::1]:PORT"));
    REQUIRE(parse_error("unix:") == "address 'unix:' has no path");
    REQUIRE(parse_error("unix:" + std::string(200, 'x')).find("the path has 200 bytes") != std::string::npos);
    REQUIRE(parse_error("fd:-1") == "address 'fd:-1': '-1' is not a descriptor number");
    REQUIRE(parse_error("fd:7x") == "address 'fd:7x': '7x' is not a descriptor number");
}

TEST_CASE("connections over tcp and unix", "[channel]") {
    check_connection(*Address::parse("tcp:127.0.0.1:0"));
    char directory[] = "/tmp/godwit-channel-XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    const auto where = *Address::parse(std::string{"unix:"} + directory + "/socket");
    check_connection(where);
    REQUIRE_FALSE(std::filesystem::exists(where.path));
    std::filesystem::remove_all(directory);
}

TEST_CASE("IPv6 where the host has it", "[channel]") {
    const auto where = *Address::parse("tcp:[::1]:0");
    if (Listener::open(where).ok())
        check_connection(where);
}

TEST_CASE("a listener knows whether other hosts can reach it", "[channel]") {
    const auto outside = [](const char* address) {
        return std::move(Listener::open(*Address::parse(address))).value().reachable_from_outside();
    };
    const auto inherited = [](std::uint32_t host) {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in name{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(host)}, .sin_zero = {}};
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
        REQUIRE(::listen(fd, 1) == 0);
        return std::move(Listener::open(*Address::parse(fmt::format("fd:{}", fd))))
            .value()
            .reachable_from_outside();
    };
    REQUIRE_FALSE(inherited(INADDR_LOOPBACK));
    REQUIRE(inherited(INADDR_ANY));
    REQUIRE_FALSE(outside("tcp:127.0.0.1:0"));
    REQUIRE_FALSE(outside("tcp:127.1.2.3:0"));
    REQUIRE(outside("tcp:0.0.0.0:0"));
    REQUIRE(outside("tcp::0"));
}

TEST_CASE("a socket file of a listener that died does not block the next one", "[channel]") {
    char directory[] = "/tmp/godwit-channel-XXXXXX";
    REQUIRE(::mkdtemp(directory) != nullptr);
    const auto where = *Address::parse(std::string{"unix:"} + directory + "/socket");
    {
        auto first = std::move(Listener::open(where)).value();
        const auto second = Listener::open(where);
        REQUIRE_FALSE(second.ok()); // one that lives is left alone
        REQUIRE(std::filesystem::exists(where.path));
        std::filesystem::rename(where.path, where.path + ".stale");
    }
    std::filesystem::rename(where.path + ".stale", where.path);
    check_connection(where);
    std::filesystem::remove_all(directory);
}

namespace {

Address handed(int fd) {
    Address address = *Address::parse("fd:peer");
    address.handed = std::make_shared<Fd>(Fd::adopt(fd));
    return address;
}

} // namespace

TEST_CASE("a descriptor that was handed over", "[channel]") {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); // as it is inherited
    auto listener = std::move(Listener::open(*Address::parse(fmt::format("fd:{}", fds[0])))).value();
    auto server = std::move(listener.accept(1s, nullptr)).value();
    const Address there = handed(fds[1]);
    auto client = std::move(SocketChannel::connect(there, 1s, nullptr)).value();
    REQUIRE(SocketChannel::connect(there, 1s, nullptr).error().code ==
            ErrorCode::Disconnected); // that was all
    std::byte byte{1};
    REQUIRE(write(*client, {&byte, 1}).ok());
    REQUIRE(server->read(std::span{&byte, 1}).ok());
    REQUIRE(listener.accept(1s, nullptr).error().code == ErrorCode::Disconnected);

    int pipe_fds[2];
    REQUIRE(::pipe(pipe_fds) == 0);
    const Fd other = Fd::adopt(pipe_fds[1]);
    const auto refused = SocketChannel::connect(handed(pipe_fds[0]), 1s, nullptr);
    REQUIRE(refused.error().text.find("not a socket") != std::string::npos);
}

TEST_CASE("a descriptor of this process that nobody gave it is left alone", "[channel]") {
    const Fd ours = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const Address number = *Address::parse(fmt::format("fd:{}", ours.get()));
    REQUIRE(SocketChannel::connect(number, 1s, nullptr).error().code == ErrorCode::InvalidInput);
    const auto listener = Listener::open(number);
    REQUIRE_FALSE(listener.ok());
    REQUIRE(listener.error().text.find("was not inherited") != std::string::npos);
    REQUIRE(::fcntl(ours.get(), F_GETFD) != -1);
    REQUIRE(Address::parse("fd:-1").error().code == ErrorCode::InvalidInput);
    REQUIRE(Address::parse("fd:").error().code == ErrorCode::InvalidInput);
}

TEST_CASE("a service manager's socket is known by its name", "[channel]") {
    constexpr int kThird = 5; // the descriptors begin with 3
    const Fd socket = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM, 0));
    const Fd before = Fd::adopt(::fcntl(kThird, F_DUPFD_CLOEXEC, kThird + 1)); // whatever has that number
    REQUIRE(::dup2(socket.get(), kThird) == kThird);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", "control:metrics:migration", 1);
    REQUIRE(Listener::open(*Address::parse("fd:migration")).ok());
    REQUIRE_FALSE(Listener::open(*Address::parse("fd:other")).ok());
    ::setenv("LISTEN_PID", "1", 1);
    REQUIRE_FALSE(Listener::open(*Address::parse("fd:migration")).ok());
    ::unsetenv("LISTEN_PID");
    ::unsetenv("LISTEN_FDNAMES");
    if (before)
        REQUIRE(::dup3(before.get(), kThird, O_CLOEXEC) == kThird);
}

TEST_CASE("large transfers in many parts arrive whole", "[channel]") {
    Pair pair = socket_pair();
    std::vector<std::byte> data(std::size_t{9} << 20);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i * 7 + i / 4096);
    std::vector<iovec> parts;
    for (std::size_t at = 0; at < data.size(); at += 4096)
        parts.push_back({data.data() + at, 4096});
    std::jthread writer{[&] { (void)pair.a->write(parts); }};
    std::vector<std::byte> received(data.size());
    REQUIRE(pair.b->read(received).ok());
    REQUIRE(received == data);
    REQUIRE(pair.b->bytes_read() == data.size());
}

TEST_CASE("a peer that is gone is an error with its address", "[channel]") {
    Pair pair = socket_pair();
    std::byte byte{1};
    pair.b.reset();
    const auto reading = pair.a->read(std::span{&byte, 1});
    REQUIRE(reading.error().code == ErrorCode::Disconnected);
    REQUIRE(reading.error().text == "a closed the connection");
    const auto writing = write(*pair.a, {&byte, 1});
    REQUIRE(writing.error().code == ErrorCode::Disconnected);
    REQUIRE(writing.error().text.starts_with("a is gone"));
}

TEST_CASE("a peer that is silent is an error after the timeout", "[channel]") {
    Pair pair = socket_pair();
    pair.a->set_timeout(10ms);
    std::byte byte{1};
    const auto reading = pair.a->read(std::span{&byte, 1});
    REQUIRE(reading.error().code == ErrorCode::Disconnected);
    REQUIRE(reading.error().text == "a made no progress for 10 ms");
    REQUIRE_FALSE(*pair.a->readable(1ms));
    REQUIRE(write(*pair.b, {&byte, 1}).ok());
    REQUIRE(*pair.a->readable(1s));
}

TEST_CASE("a peer that is slow is not silent, and is not waited for longer than needed", "[channel]") {
    auto listener = std::move(Listener::open(Address::parse("tcp:127.0.0.1:0").value())).value();
    auto sender = std::move(SocketChannel::connect(listener.address(), 5s, nullptr)).value();
    auto receiver = std::move(listener.accept(5s, nullptr)).value();
    receiver->set_timeout(1s);
    // More than one timeout, and less than what a read of as much would like to be woken for.
    constexpr std::size_t kPieces = 25;
    const std::vector<std::byte> piece(4096, std::byte{3});
    std::jthread writer{[&] {
        for (std::size_t i = 0; i < kPieces; ++i) {
            (void)write(*sender, piece);
            std::this_thread::sleep_for(60ms);
        }
    }};
    std::vector<std::byte> received(kPieces * piece.size());
    const auto reading = receiver->read(received);
    INFO((reading.ok() ? "" : reading.error().text));
    REQUIRE(reading.ok());
    REQUIRE(std::ranges::all_of(received, [](std::byte byte) { return byte == std::byte{3}; }));
    writer.join();
    // What was waited for last does not count any more.
    REQUIRE(write(*sender, std::span{piece}.first(5)).ok());
    REQUIRE(*receiver->readable(1s));
    REQUIRE(receiver->read(std::span{received}.first(5)).ok());
    REQUIRE(write(*sender, std::span{piece}.first(1)).ok());
    REQUIRE(receiver->read_some(received).value() == 1);
}

TEST_CASE("a cancel wakes a read, a write and an accept", "[channel]") {
    Pair pair = socket_pair();
    auto cancel = std::move(Cancel::create()).value();
    pair.a->set_cancel(cancel.get());
    std::jthread canceller{[&] { cancel->request(); }};
    std::vector<std::byte> more_than_fits(std::size_t{64} << 20);
    REQUIRE(pair.a->read(more_than_fits).error().code == ErrorCode::Cancelled);
    REQUIRE(write(*pair.a, more_than_fits).error().code == ErrorCode::Cancelled);
    auto listener = std::move(Listener::open(*Address::parse("tcp:127.0.0.1:0"))).value();
    REQUIRE(listener.accept(30s, cancel.get()).error().code == ErrorCode::Cancelled);
}

TEST_CASE("nobody there", "[channel]") {
    Address where;
    {
        auto listener = std::move(Listener::open(*Address::parse("tcp:127.0.0.1:0"))).value();
        where = listener.address();
        REQUIRE(listener.accept(1ms, nullptr).error().text.starts_with("nobody connected to tcp:127.0.0.1:"));
    }
    const auto refused = SocketChannel::connect(where, 5s, nullptr);
    REQUIRE(refused.error().code == ErrorCode::Disconnected);
    REQUIRE(refused.error().text == fmt::format("connect to {}: Connection refused", where.text()));
}
