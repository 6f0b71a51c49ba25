// SPDX-License-Identifier: Apache-2.0
//
// What tests of the loop share: a loop on a thread of its own or on the test's, pipes, operations that
// remember their result.
#pragma once

#include "vmm/loop/loop.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <numeric>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace godwit::loop_test {

using std::chrono::milliseconds;

struct Pipe {
    Pipe() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        read_end = Fd::adopt(ends[0]);
        write_end = Fd::adopt(ends[1]);
    }
    void put(std::string_view text) const {
        REQUIRE(::write(write_end.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    std::string take() const {
        std::array<char, 256> buffer{};
        std::string text;
        for (;;) {
            const auto count = ::read(read_end.get(), buffer.data(), buffer.size());
            if (count <= 0)
                return text;
            text.append(buffer.data(), static_cast<std::size_t>(count));
        }
    }
    Fd read_end, write_end;
};

inline Fd temporary_file() {
    return Fd::adopt(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

inline std::unique_ptr<Loop> make_loop() {
    auto loop = Loop::create();
    INFO((loop.ok() ? std::string{} : loop.error().text));
    REQUIRE(loop.ok());
    return std::move(loop).value();
}

struct RunningLoop {
    RunningLoop() : loop(make_loop()), thread([this] { loop->run(); }) {}
    ~RunningLoop() {
        loop->quit();
        thread.join();
    }
    std::unique_ptr<Loop> loop;
    std::thread thread;
};

// Runs the loop on this thread until `done`, looked at after each posted turn; a stuck test ends by the
// limit.
template <class Done>
void run_until(Loop& loop, Done done) {
    bool late = false;
    const auto limit = loop.timer([&] {
        late = true;
        loop.quit();
    });
    limit->arm(std::chrono::seconds{20});
    std::function<void()> look = [&] {
        if (done())
            loop.quit();
        else
            loop.post(look);
    };
    loop.post(look);
    loop.run();
    REQUIRE_FALSE(late);
}

struct Recorded final : Operation {
    void completed(std::int32_t value) override {
        result = value;
        if (then)
            then();
    }
    std::optional<std::int32_t> result;
    std::function<void()> then;
};

inline iovec vector_of(std::span<std::byte> bytes) {
    return {bytes.data(), bytes.size()};
}

} // namespace godwit::loop_test
