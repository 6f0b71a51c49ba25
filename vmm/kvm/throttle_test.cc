// SPDX-License-Identifier: Apache-2.0
//
// A guest that is slowed: it gets its share and no more, loses no exit, and can be paused at any moment.
#include "vmm/kvm/test_guest.h"

#include <atomic>
#include <thread>

using namespace godwit;
using namespace godwit::kvm;
using namespace std::chrono_literals;

namespace {

// xor eax,eax; 1: inc eax; out 0x10,eax; jmp 1b
constexpr std::uint8_t kCount[] = {0x31, 0xc0, 0x40, 0xe7, 0x10, 0xeb, 0xfb};
// 1: out 0x30,al; jmp 1b
constexpr std::uint8_t kKnock[] = {0xe6, 0x30, 0xeb, 0xfc};

// Adds up for how long nobody wrote to it, counting what is longer than an exit takes.
class Silence : public BusDevice {
  public:
    std::string_view name() const override { return "silence"; }
    void read(std::uint64_t, std::span<std::byte>) override {}
    void write(std::uint64_t, std::span<const std::byte>) override {
        const auto now = VcpuThrottle::Clock::now();
        if (const auto gap = now - last_; gap > VcpuThrottle::kPeriod / 4)
            silent_.store(silent_.load() + gap);
        last_ = now;
    }
    auto sum() const { return silent_.load(); }

  private:
    VcpuThrottle::Clock::time_point last_ = VcpuThrottle::Clock::now(); // vCPU thread
    std::atomic<VcpuThrottle::Clock::duration> silent_{};
};

} // namespace

TEST_CASE("rests are as long as their share of the time asks", "[kvm][throttle]") {
    using Clock = VcpuThrottle::Clock;
    struct Rest {
        Clock::time_point at;
        Clock::time_point until;
    };
    std::mutex mutex;
    std::condition_variable news;
    std::vector<Rest> rests;
    const auto begun = Clock::now();
    const std::uint32_t percent = GENERATE(20u, 50u, 99u);
    auto throttle = must(VcpuThrottle::start(percent, [&](Clock::time_point until) {
        const std::lock_guard lock{mutex};
        rests.push_back({Clock::now(), until});
        news.notify_all();
    }));
    {
        std::unique_lock lock{mutex};
        REQUIRE(news.wait_for(lock, 30s, [&] { return rests.size() >= 5; }));
    }
    throttle.reset(); // no rest comes any more
    auto ran_since = begun;
    for (const Rest& rest : rests) {
        // However late the thread was: the rest is not longer than its share of the run before it.
        REQUIRE(rest.until > ran_since);
        REQUIRE((rest.until - rest.at) * (100 - percent) <= (rest.at - ran_since) * percent);
        ran_since = rest.until;
    }
}

TEST_CASE("a slowed guest is silent for its share of the time", "[kvm][throttle]") {
    Silence silence;
    TestGuest guest{kKnock};
    must(guest.port_bus.map(0x30, 1, silence));
    must(guest.vcpus->throttle(90));
    guest.vcpus->resume();
    const auto begun = VcpuThrottle::Clock::now();
    std::this_thread::sleep_for(500ms);
    const auto passed = VcpuThrottle::Clock::now() - begun;
    // A noisy host only makes it more.
    REQUIRE(silence.sum() > passed / 2);
    guest.vcpus->pause();
}

TEST_CASE("a slowed guest loses no exit and repeats none, whatever pauses come", "[kvm][throttle]") {
    TestGuest guest{kCount};
    guest.vcpus->resume();
    std::uint64_t last = 0;
    for (std::uint32_t round = 0; round < 60; ++round) {
        must(guest.vcpus->throttle(round % 5 * 24));
        guest.ports.wait_for_writes(last + 1);
        const VcpuPause pause{*guest.vcpus};
        const auto writes = guest.ports.writes();
        for (std::uint64_t i = last; i < writes.size(); ++i)
            REQUIRE(writes[i].value == i + 1);
        last = writes.size();
    }
    REQUIRE(guest.events.empty());
}

TEST_CASE("a throttle may begin and end while the guest is paused, and outlive nothing", "[kvm][throttle]") {
    TestGuest guest{kCount, 2};
    must(guest.vcpus->throttle(99));
    must(guest.vcpus->throttle(50));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(10);
    guest.vcpus->pause();
    must(guest.vcpus->throttle(0));
    must(guest.vcpus->throttle(0));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(guest.ports.writes().size() + 10);
    must(guest.vcpus->throttle(99)); // and the set ends with it
}
