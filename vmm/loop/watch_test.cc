// SPDX-License-Identifier: Apache-2.0
//
// Watches and timers.
#include "vmm/loop/loop.h"

#include "vmm/loop/loop_fixture.h"

namespace godwit {

using namespace loop_test;

TEST_CASE("a watch fires for data that was there before, and again for new data") {
    const auto loop = make_loop();
    const Pipe pipe;
    pipe.put("one");
    std::vector<std::string> got;
    const auto watch = loop->watch(pipe.read_end.get(), POLLIN, [&](std::uint32_t events) {
        CHECK((events & POLLIN) != 0);
        got.push_back(pipe.take());
    });
    REQUIRE(watch.ok());
    run_until(*loop, [&] { return got.size() == 1; });
    pipe.put("two");
    run_until(*loop, [&] { return got.size() == 2; });
    pipe.put("three");
    run_until(*loop, [&] { return got.size() == 3; });
    CHECK(got == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("a watch tells of the other end's going") {
    const auto loop = make_loop();
    Pipe pipe;
    std::uint32_t seen = 0;
    const auto watch = loop->watch(pipe.read_end.get(), POLLIN, [&](std::uint32_t events) { seen = events; });
    REQUIRE(watch.ok());
    pipe.write_end.reset();
    run_until(*loop, [&] { return seen != 0; });
    CHECK((seen & POLLHUP) != 0);
}

TEST_CASE("a destroyed watch never fires, although its completion is queued") {
    const auto loop = make_loop();
    const Pipe first, second;
    std::unique_ptr<Watch> watches[2];
    int fired = 0;
    const auto kill_both = [&](std::uint32_t) {
        ++fired;
        watches[0].reset(); // one of these is its own
        watches[1].reset();
    };
    watches[0] = std::move(loop->watch(first.read_end.get(), POLLIN, kill_both)).value();
    watches[1] = std::move(loop->watch(second.read_end.get(), POLLIN, kill_both)).value();
    // Both become ready in one turn.
    loop->post([&] {
        first.put("x");
        second.put("x");
    });
    run_until(*loop, [&] { return fired != 0; });
    loop->post([&] { first.put("y"); });
    bool ticked = false;
    const auto timer = loop->timer([&] { ticked = true; });
    timer->arm(milliseconds{5});
    run_until(*loop, [&] { return ticked; });
    CHECK(fired == 1);
}

TEST_CASE("a file whose watch has gone is closed, however busy its other end is") {
    const RunningLoop running;
    for (int round = 0; round < 1000; ++round) {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
        Fd mine = Fd::adopt(ends[0]);
        const Fd other = Fd::adopt(ends[1]);
        const timeval patience{.tv_sec = 20, .tv_usec = 0};
        REQUIRE(::setsockopt(other.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0);
        REQUIRE(::fcntl(mine.get(), F_SETFL, O_NONBLOCK) == 0);

        std::unique_ptr<Watch> watch;
        std::size_t left = 64 * 1024; // then it has had enough
        running.loop->call([&] {
            watch = running.loop
                        ->watch(mine.get(), EPOLLIN | EPOLLRDHUP,
                                [&](std::uint32_t) {
                                    std::array<char, 4096> buffer{};
                                    for (; left > 0; left -= buffer.size()) {
                                        if (::read(mine.get(), buffer.data(), buffer.size()) <= 0)
                                            return;
                                    }
                                    watch.reset();
                                    mine = Fd{};
                                })
                        .value();
        });
        const std::string flood(1 << 20, 'x');
        ssize_t sent = 0;
        do
            sent = ::send(other.get(), flood.data(), flood.size(), MSG_NOSIGNAL);
        while (sent > 0 || errno == EINTR);
        CHECK(errno != EAGAIN); // patience is over
    }
}

TEST_CASE("a watch refuses a bad descriptor or reports it as an error event") {
    const auto loop = make_loop();
    CHECK_FALSE(loop->watch(-1, POLLIN, [](std::uint32_t) {}).ok());
    int closed = 0;
    {
        const Pipe gone;
        closed = gone.read_end.get();
    }
    std::uint32_t seen = 0;
    const auto watch = loop->watch(closed, POLLIN, [&](std::uint32_t events) { seen = events; });
    REQUIRE(watch.ok());
    run_until(*loop, [&] { return seen != 0; });
    CHECK((seen & POLLERR) != 0);
}

TEST_CASE("timers fire in order of their deadlines, are moved, and can be disarmed") {
    const auto loop = make_loop();
    std::string order;
    const auto a = loop->timer([&] { order += 'a'; });
    const auto b = loop->timer([&] { order += 'b'; });
    const auto c = loop->timer([&] { order += 'c'; });
    const auto last = loop->timer([&] { order += '.'; });
    a->arm(milliseconds{6});
    b->arm(milliseconds{3});
    c->arm(milliseconds{1});
    c->disarm();
    last->arm(milliseconds{1});
    last->arm(milliseconds{9});
    run_until(*loop, [&] { return order.find('.') != std::string::npos; });
    CHECK(order == "ba.");
}

TEST_CASE("a timer may arm itself again, or go, in its callback") {
    const auto loop = make_loop();
    int count = 0;
    std::unique_ptr<Timer> timer;
    timer = loop->timer([&] {
        if (++count < 3)
            timer->arm(std::chrono::nanoseconds{0});
        else
            timer.reset();
    });
    timer->arm(milliseconds{0});
    run_until(*loop, [&] { return timer == nullptr; });
    CHECK(count == 3);
}

} // namespace godwit
