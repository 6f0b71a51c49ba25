// SPDX-License-Identifier: Apache-2.0
//
// The state of a whole machine with its real parts: both virtio devices, interrupt controllers, vCPUs. Needs
// /dev/kvm.
#include "migration/wire/save_load.h"
#include "vmm/machine/machine.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

using namespace godwit;
using migration::RunState;

namespace {

class NoEvents final : public MachineEvents {
    void guest_powered_off() override {}
    void guest_reset() override {}
    void guest_crashed(Error) override {}
    void disk_failed(DiskFailure) override {}
};

// A machine with a disk, on a loop of its own. A tap is left out: not every place where this runs may make
// one.
class TestMachine {
  public:
    TestMachine() {
        image_ = Fd::adopt(::memfd_create("disk", MFD_CLOEXEC));
        REQUIRE(::ftruncate(image_.get(), 1 << 20) == 0);
        loop_ = std::move(Loop::create()).value();
        thread_ = std::thread{[this] { loop_->run(); }};
        MachineConfig config;
        config.memory = std::uint64_t{16} << 20;
        config.cpus = 2;
        config.serial = "null";
        config.disks.push_back({fmt::format("/proc/self/fd/{}", image_.get()), false, "disk0", {}});
        auto made = Machine::create(config, *loop_, events_);
        if (!made.ok())
            FAIL(made.error().text);
        machine_ = std::move(made).value();
    }
    ~TestMachine() {
        machine_.reset();
        loop_->quit();
        thread_.join();
    }
    Machine* operator->() { return machine_.get(); }

    std::vector<std::byte>
    save(OrderTrace& trace, migration::wire::Description description = migration::wire::Description::Whole) {
        auto bytes = migration::wire::save_state(machine_->sections(), RunState::Running, trace, description);
        if (!bytes.ok())
            FAIL(bytes.error().text);
        return std::move(bytes).value();
    }
    Status load(std::span<const std::byte> bytes, OrderTrace& trace) {
        TRY(migration::wire::load_state(bytes, machine_->sections(), trace));
        return {};
    }
    void discard() {
        for (StateSection* const section : machine_->sections())
            section->discard_load();
    }

  private:
    Fd image_;
    NoEvents events_;
    std::unique_ptr<Loop> loop_;
    std::thread thread_;
    std::unique_ptr<Machine> machine_;
};

std::vector<std::string> steps_of(const OrderTrace& trace, std::string_view section) {
    std::vector<std::string> steps;
    for (const std::string& step : trace.steps()) {
        if (step.starts_with(section))
            steps.push_back(step.substr(section.size() + 2));
    }
    return steps;
}

// The guest's TSC runs on while the machine is paused: the one value in which two saves may differ.
constexpr std::size_t kTscBytes = 8;

std::size_t differing_bytes(std::span<const std::byte> a, std::span<const std::byte> b) {
    REQUIRE(a.size() == b.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        count += a[i] != b[i];
    return count;
}

} // namespace

TEST_CASE("a machine that was loaded saves what it was loaded from", "[machine]") {
    TestMachine source, destination;
    // Without the description, which has sums of what differs.
    constexpr auto kLeave = migration::wire::Description::None;
    OrderTrace trace;
    const auto first = source.save(trace, kLeave);
    REQUIRE(destination.load(first, trace).ok());
    for (StateSection* const section : destination->sections())
        REQUIRE(section->commit_load().ok());
    const auto second = destination.save(trace, kLeave);
    REQUIRE(differing_bytes(first, second) <= 2 * kTscBytes);
}

TEST_CASE("a device's parts save and load in the documented order", "[machine]") {
    TestMachine machine;
    OrderTrace saved, loaded;
    const auto bytes = machine.save(saved);
    REQUIRE(machine.load(bytes, loaded).ok());
    // docs/state-stream.md, "Order".
    const std::vector<std::string> save_order{
        "save",
        "core.start",
        "transport.save_config",
        "core.common",
        "core.queues",
        "transport.save_queue",
        "device.save_device",
        "core.subsections",
        "virtio/64bit_features",
        "virtio/virtqueues",
        "virtio/extra_state",
    };
    CHECK(steps_of(saved, "0000:00:01.0/virtio-blk") == save_order);
    const std::vector<std::string> load_order{
        "load",
        "core.start",
        "transport.load_config",
        "core.common",
        "core.queues",
        "transport.load_queue",
        "device.load_device",
        "core.subsections",
        "virtio/64bit_features",
        "virtio/virtqueues",
        "virtio/extra_state",
        "core.sanitise",
        "device.post_load",
    };
    CHECK(steps_of(loaded, "0000:00:01.0/virtio-blk") == load_order);
}

TEST_CASE("a truncated machine state is refused, wherever it ends", "[machine]") {
    TestMachine machine;
    OrderTrace trace;
    // Without the description at the end, which a loader does not need.
    auto whole = migration::wire::save_state(machine->sections(), RunState::Running, trace,
                                             migration::wire::Description::None);
    REQUIRE(whole.ok());
    const std::span<const std::byte> bytes{*whole};
    // Every byte of the records; the long arrays of unused queues are sampled.
    std::size_t tried = 0;
    for (std::size_t length = 0; length < bytes.size(); ++tried) {
        const Status status = machine.load(bytes.first(length), trace);
        if (status.ok())
            FAIL("accepted with " << length << " of " << bytes.size() << " bytes");
        const bool zeros = length + 64 < bytes.size() &&
                           std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(length),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(length) + 64,
                                       [](std::byte b) { return b == std::byte{}; });
        length += zeros ? 61 : 1;
    }
    REQUIRE(tried > 2000);
}

TEST_CASE("a flipped bit is refused or gives a state that passes every check", "[machine]") {
    TestMachine machine;
    OrderTrace trace;
    auto whole = migration::wire::save_state(machine->sections(), RunState::Running, trace,
                                             migration::wire::Description::None);
    REQUIRE(whole.ok());
    std::mt19937 random{20221};
    std::size_t refused = 0;
    for (int i = 0; i < 4000; ++i) {
        const std::size_t at = random() % whole->size();
        const auto mask = static_cast<std::byte>(1u << (random() % 8));
        (*whole)[at] ^= mask;
        refused += machine.load(*whole, trace).ok() ? 0 : 1;
        machine.discard();
        (*whole)[at] ^= mask;
    }
    REQUIRE(refused > 100);
    // Nothing of all this has stuck.
    REQUIRE(machine.load(*whole, trace).ok());
}
