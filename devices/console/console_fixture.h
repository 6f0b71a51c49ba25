// SPDX-License-Identifier: Apache-2.0
//
// What the console tests share: a loop run step by step, a user that reads, pipes, sockets, a directory.
#pragma once

#include "devices/console/make_console.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace godwit {

using namespace std::chrono_literals;

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span{text});
}

struct Directory {
    Directory() {
        std::string pattern = "/tmp/godwit-console-XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~Directory() { REQUIRE(std::system(("rm -rf " + path).c_str()) == 0); }
    std::string file(std::string_view name) const { return path + "/" + std::string{name}; }
    std::string path;
};

inline std::string content(const std::string& path) {
    const Fd fd = Fd::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 4096> buffer{};
    const auto count = ::read(fd.get(), buffer.data(), buffer.size());
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))};
}

// All that is there now.
inline std::string take(const Fd& fd, std::size_t limit = std::size_t{8} << 20) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.size() < limit) {
        const auto count = ::read(fd.get(), buffer.data(), std::min(buffer.size(), limit - text.size()));
        if (count <= 0)
            break;
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return text;
}

struct Pipe {
    Pipe() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        read_end = Fd::adopt(ends[0]);
        write_end = Fd::adopt(ends[1]);
    }
    Fd read_end, write_end;
};

inline void set_nonblocking(const Fd& fd) {
    REQUIRE(::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK) == 0);
}

// A UART that takes `room` bytes and remembers being called.
struct Reader final : Console::User {
    explicit Reader(Console& the_console) : console(the_console) { console.connect(this); }
    ~Reader() { console.connect(nullptr); }
    void input_ready() override {
        ++input_calls;
        std::array<std::byte, 16> buffer{};
        while (room != 0) {
            const auto count = console.read(std::span{buffer}.first(std::min(room, buffer.size())));
            if (count == 0)
                return;
            room -= count;
            for (std::size_t i = 0; i < count; ++i)
                got += std::to_integer<char>(buffer[i]);
        }
    }
    void output_ready() override { ++output_calls; }
    Console& console;
    std::string got;
    std::size_t room = 1'000'000;
    int input_calls = 0, output_calls = 0;
};

struct LoopFixture {
    std::unique_ptr<Loop> loop = std::move(Loop::create()).value();

    template <class Done>
    void run_until(Done done) {
        bool late = false;
        const auto limit = loop->timer([&] {
            late = true;
            loop->quit();
        });
        limit->arm(20s);
        std::function<void()> look = [&] {
            if (done())
                loop->quit();
            else
                loop->post(look);
        };
        loop->post(look);
        loop->run();
        REQUIRE_FALSE(late);
    }
    // Long enough for everything that is already on its way.
    void settle() {
        bool done = false;
        const auto timer = loop->timer([&] { done = true; });
        timer->arm(5ms);
        run_until([&] { return done; });
    }
};

inline Fd connect_to(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    Fd fd = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        fd.reset();
    return fd;
}

inline void put(const Fd& fd, std::string_view text) {
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

} // namespace godwit
