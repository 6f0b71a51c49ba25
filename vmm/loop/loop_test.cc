// SPDX-License-Identifier: Apache-2.0
//
// Posted work, files and operations, draining; watches and timers are in watch_test.cc.
#include "vmm/loop/loop.h"

#include "vmm/loop/loop_fixture.h"
#include "vmm/loop/ring.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace godwit {

using namespace loop_test;

TEST_CASE("posted work runs in its order, on the loop's thread") {
    RunningLoop running;
    std::vector<int> order;
    std::thread::id where;
    for (int i = 0; i < 100; ++i)
        running.loop->post([&, i] {
            order.push_back(i);
            where = std::this_thread::get_id();
        });
    running.loop->call([] {});
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(order == expected);
    CHECK(where == running.thread.get_id());
}

TEST_CASE("call hands its result back, from many threads and from inside") {
    RunningLoop running;
    Loop& loop = *running.loop;
    CHECK_FALSE(loop.is_inside());
    CHECK(loop.call([&] { return loop.is_inside() && loop.call([] { return 5; }) == 5; }));
    int sum = 0; // only the loop touches it
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i)
                loop.call([&] { ++sum; });
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(loop.call([&] { return sum; }) == 800);
}

TEST_CASE("work posted and quit called before run are seen by it") {
    const auto loop = make_loop();
    bool ran = false;
    loop->post([&] {
        ran = true;
        loop->quit();
    });
    loop->run();
    CHECK(ran);
    loop->quit();
    loop->run();
}

TEST_CASE("files are written and read through their slots") {
    const auto loop = make_loop();
    Fd file = temporary_file();
    auto fixed = loop->register_file(file);
    REQUIRE(fixed.ok());
    REQUIRE(::fallocate(file.get(), 0, 0, 8192) == 0);
    file.reset(); // the ring has its own reference

    std::array<std::byte, 4096> first, second;
    first.fill(std::byte{0x11});
    second.fill(std::byte{0x22});
    const std::array out{vector_of(first), vector_of(second)};
    Recorded written, synced, read_back, punched, read_again;
    Gate gate;
    const auto leave = [&] { gate.leave(); };
    written.then = synced.then = read_back.then = punched.then = read_again.then = leave;

    gate.enter();
    loop->write(written, *fixed, out, 0);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(written.result == 8192);
    gate.enter();
    loop->fdatasync(synced, *fixed);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(synced.result == 0);

    std::array<std::byte, 4096> in{};
    const std::array in_vector{vector_of(in)};
    gate.enter();
    loop->read(read_back, *fixed, in_vector, 4096);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(read_back.result == 4096);
    CHECK(in == second);

    gate.enter();
    loop->fallocate(punched, *fixed, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(punched.result == 0);
    gate.enter();
    loop->read(read_again, *fixed, in_vector, 4096);
    REQUIRE(loop->drain(gate, std::chrono::seconds{20}).ok());
    CHECK(in == std::array<std::byte, 4096>{});
}

TEST_CASE("slots of registered files are used again, and run out with an error") {
    const auto loop = make_loop();
    const Fd file = temporary_file();
    for (int i = 0; i < 1000; ++i)
        REQUIRE(loop->register_file(file).ok());
    std::vector<FixedFile> held;
    for (;;) {
        auto next = loop->register_file(file);
        if (!next.ok()) {
            CHECK(next.error().text.find("taken") != std::string::npos);
            break;
        }
        held.push_back(std::move(next).value());
        REQUIRE(held.size() < 100'000);
    }
    held.pop_back();
    CHECK(loop->register_file(file).ok());
}

TEST_CASE("a queued request meets its file, not the next one in its slot") {
    const auto loop = make_loop();
    const Fd first = temporary_file(), second = temporary_file();
    std::array<std::byte, 8> data{};
    const std::array vectors{vector_of(data)};
    Recorded written;
    std::optional<FixedFile> file, next;
    file = std::move(loop->register_file(first)).value();
    loop->post([&] {
        loop->write(written, *file, vectors, 0);
        file.reset();
        next = std::move(loop->register_file(second)).value();
    });
    run_until(*loop, [&] { return written.result.has_value(); });
    CHECK(::lseek(first.get(), 0, SEEK_END) == 8);
    CHECK(::lseek(second.get(), 0, SEEK_END) == 0);
}

TEST_CASE("a failed operation reports its errno") {
    const auto loop = make_loop();
    const Fd file = Fd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    auto fixed = loop->register_file(file);
    REQUIRE(fixed.ok());
    std::array<std::byte, 16> data{};
    const std::array vectors{vector_of(data)};
    Recorded written;
    loop->write(written, *fixed, vectors, 0);
    run_until(*loop, [&] { return written.result.has_value(); });
    CHECK(written.result == -EBADF);
}

TEST_CASE("many more operations than the queue holds complete, each once") {
    const auto loop = make_loop();
    const Fd file = temporary_file();
    REQUIRE(::ftruncate(file.get(), 4096) == 0);
    auto fixed = loop->register_file(file);
    REQUIRE(fixed.ok());
    constexpr std::size_t kCount = 10'000; // above submission and completion entries
    std::array<std::byte, 1> sink{};
    const std::array vectors{vector_of(sink)};
    std::vector<Recorded> operations(kCount);
    std::size_t completed = 0;
    for (auto& operation : operations) {
        operation.then = [&] { ++completed; };
        loop->read(operation, *fixed, vectors, 0); // before run(): nothing can be submitted yet
    }
    run_until(*loop, [&] { return completed == kCount; });
    for (auto& operation : operations) {
        REQUIRE(operation.result == 1);
        operation.result.reset();
        loop->read(operation, *fixed, vectors, 0);
    }
    run_until(*loop, [&] { return completed == 2 * kCount; });
}

TEST_CASE("many watches at once overflow nothing") {
    const auto loop = make_loop();
    constexpr int kCount = 600;
    std::vector<Pipe> pipes(kCount);
    std::vector<std::unique_ptr<Watch>> watches;
    std::vector<int> fired(kCount);
    for (int i = 0; i < kCount; ++i)
        watches.push_back(std::move(loop->watch(pipes[static_cast<std::size_t>(i)].read_end.get(), POLLIN,
                                                [&, i](std::uint32_t) {
                                                    const auto at = static_cast<std::size_t>(i);
                                                    if (!pipes[at].take().empty())
                                                        ++fired[at];
                                                }))
                              .value());
    for (int round = 1; round <= 3; ++round) {
        loop->post([&] {
            for (const auto& pipe : pipes)
                pipe.put("x");
        });
        run_until(*loop, [&] { return fired == std::vector<int>(kCount, round); });
    }
}

TEST_CASE("drain delivers completions only; the rest comes afterwards, in order") {
    const auto loop = make_loop();
    const Fd file = temporary_file();
    auto fixed = loop->register_file(file);
    REQUIRE(fixed.ok());
    const Pipe first, second;
    std::string order;
    const auto watch_a = std::move(loop->watch(first.read_end.get(), POLLIN, [&](std::uint32_t) {
                             first.take();
                             order += 'a';
                         })).value();
    const auto watch_b = std::move(loop->watch(second.read_end.get(), POLLIN, [&](std::uint32_t) {
                             second.take();
                             order += 'b';
                         })).value();
    const auto timer = loop->timer([&] { order += 't'; });
    std::array<std::byte, 64> data{};
    const std::array vectors{vector_of(data)};
    Recorded operations[3];
    Gate gate;
    // Three writes, each submitted by the one before it, so that the drain takes several rounds.
    operations[0].then = [&] {
        order += '1';
        loop->write(operations[1], *fixed, vectors, 0);
    };
    operations[1].then = [&] {
        order += '2';
        loop->fdatasync(operations[2], *fixed);
    };
    operations[2].then = [&] {
        order += '3';
        gate.leave();
    };
    loop->post([&] {
        second.put("x");
        first.put("x");
        second.put("y");
        timer->arm(std::chrono::nanoseconds{1});
        loop->post([&] { order += 'p'; });
        gate.enter();
        loop->write(operations[0], *fixed, vectors, 0);
        CHECK(loop->drain(gate, std::chrono::seconds{20}).ok());
        order += '|';
    });
    run_until(*loop, [&] { return order.size() == 8; });
    CHECK(order.substr(0, 4) == "123|");
    CHECK(order.find('b') < order.find('a')); // second became ready first
    for (const char each : {'a', 'b', 't', 'p'})
        CHECK(std::count(order.begin(), order.end(), each) == 1);
}

TEST_CASE("drain gives up at its limit and says how many are left") {
    const auto loop = make_loop();
    Gate gate;
    gate.enter();
    gate.enter();
    const auto drained = loop->drain(gate, std::chrono::seconds{1});
    REQUIRE_FALSE(drained.ok());
    CHECK(drained.error().text.find("2 operations") != std::string::npos);
}

TEST_CASE("drain on a thread that is not the loop's is an error, not a wait") {
    RunningLoop running;
    running.loop->call([] {});
    Gate gate;
    CHECK(running.loop->drain(gate, std::chrono::seconds{20}).ok());
    gate.enter();
    CHECK_FALSE(running.loop->drain(gate, std::chrono::seconds{20}).ok());
}

TEST_CASE("run ends only when the operations in flight have") {
    const auto loop = make_loop();
    const Fd file = temporary_file();
    auto fixed = loop->register_file(file);
    REQUIRE(fixed.ok());
    std::array<std::byte, 4096> data{};
    const std::array vectors{vector_of(data)};
    std::vector<Recorded> operations(64);
    loop->post([&] {
        for (auto& operation : operations)
            loop->write(operation, *fixed, vectors, 0);
        loop->quit();
    });
    loop->run();
    for (const auto& operation : operations)
        CHECK(operation.result == 4096);
}

TEST_CASE("the ring refuses what the loop does not ask for") {
    const auto ring = std::move(Ring::create()).value();
    ring->enable();
    const auto result_of = [&](const io_uring_sqe& request) {
        ring->push(request);
        ring->submit_and_wait(std::chrono::seconds{5});
        const auto completion = ring->next();
        REQUIRE(completion.has_value());
        return completion->result;
    };
    io_uring_sqe request{};
    io_uring_prep_openat(&request, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    CHECK(result_of(request) == -EACCES);
    io_uring_prep_socket(&request, AF_UNIX, SOCK_STREAM, 0, 0);
    CHECK(result_of(request) == -EACCES);
    io_uring_prep_nop(&request);
    CHECK(result_of(request) == -EACCES);
    char byte = 0;
    const Fd zero = std::move(open_file("/dev/zero", O_RDONLY)).value();
    io_uring_prep_read(&request, zero.get(), &byte, 1, 0);
    CHECK(result_of(request) == 1);
    io_uring_sqe_set_flags(&request, IOSQE_ASYNC);
    CHECK(result_of(request) == -EACCES);
}

} // namespace godwit
