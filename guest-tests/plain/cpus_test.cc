// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/cpus.h"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <thread>

namespace cpus_test {

using namespace godwit;
using namespace godwit::plain;
using namespace std::chrono_literals;

namespace {

struct Counted {
    static constexpr std::uint32_t kCount = 3;
    explicit Counted(std::chrono::nanoseconds rest)
        : cpus(std::move(Cpus::create(kCount, [this, rest](std::uint32_t cpu) -> std::chrono::nanoseconds {
                   inside = true;
                   ++steps[cpu];
                   std::this_thread::yield();
                   return rest;
               })).value()) {}
    std::array<int, kCount> now() const { return {steps[0], steps[1], steps[2]}; }
    void wait_beyond(const std::array<int, kCount>& before) {
        for (std::size_t i = 0; i < kCount; ++i)
            while (steps[i] <= before[i])
                std::this_thread::yield();
    }

    std::atomic<bool> inside{false};
    std::array<std::atomic<int>, kCount> steps{};
    std::unique_ptr<Cpus> cpus;
};

} // namespace

TEST_CASE("CPUs run between resume and pause, and not otherwise", "[plain]") {
    Counted counted{0ns};
    std::this_thread::sleep_for(2ms);
    REQUIRE_FALSE(counted.inside);
    for (int i = 0; i < 50; ++i) {
        const auto before = counted.now();
        counted.cpus->resume();
        counted.wait_beyond(before);
        counted.cpus->pause();
        const auto stopped = counted.now();
        std::this_thread::sleep_for(200us);
        REQUIRE(counted.now() == stopped);
    }
    counted.cpus->resume(); // and it ends while they run
}

TEST_CASE("a wake and a pause end every rest", "[plain]") {
    Counted counted{3600s};
    counted.cpus->resume();
    counted.wait_beyond({});
    const auto before = counted.now();
    counted.cpus->wake();
    counted.wait_beyond(before);
    counted.cpus->pause();
    counted.cpus->pause();
}

TEST_CASE("slowed CPUs still run, can be paused, and are let go", "[plain]") {
    Counted counted{0ns};
    counted.cpus->resume();
    for (const std::uint32_t percent : {50u, 99u, 20u}) {
        REQUIRE(counted.cpus->throttle(percent).ok());
        counted.wait_beyond(counted.now());
        counted.cpus->pause();
        counted.cpus->resume();
    }
    REQUIRE(counted.cpus->throttle(0).ok());
    counted.wait_beyond(counted.now());
}

} // namespace cpus_test
