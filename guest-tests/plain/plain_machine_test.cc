// SPDX-License-Identifier: Apache-2.0
//
// A plain machine as a whole: it stands still when it is held, goes on elsewhere, and its state bears damage.
#include "guest-tests/plain/plain_machine.h"
#include "migration/wire/save_load.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace plain_machine_test {

using namespace godwit;
using namespace godwit::plain;
using migration::RunState;

namespace {

struct Events final : MachineEvents {
    void guest_powered_off() override { off = true; }
    void guest_reset() override {}
    void guest_crashed(Error) override {}
    void disk_failed(DiskFailure) override {}
    std::atomic<bool> off{false};
};

Fd memory_file() {
    return Fd::adopt(::memfd_create("file", MFD_CLOEXEC));
}

std::string path_of(const Fd& fd) {
    return fmt::format("/proc/self/fd/{}", fd.get());
}

class Running {
  public:
    explicit Running(const Fd& disk,
                     const char* line = "prog=mem,disk,heartbeat mem.size=256K disk.span=256K "
                                        "heartbeat.period=1000") {
        thread_ = std::thread{[this] { loop_->run(); }};
        MachineConfig config;
        config.memory = std::uint64_t{4} << 20;
        config.cpus = 2;
        config.serial = "file=" + path_of(serial_);
        config.kernel = "built-in";
        config.command_line = line;
        config.disks.push_back({path_of(disk), false, "disk0", {}});
        auto made = PlainMachine::create(config, *loop_, events_);
        if (!made.ok())
            FAIL(made.error().text);
        machine_ = std::move(made).value();
    }
    ~Running() {
        machine_.reset();
        loop_->quit();
        thread_.join();
    }
    Guest* operator->() { return machine_.get(); }

    std::string said() {
        std::string text(1 << 20, '\0');
        text.resize(static_cast<std::size_t>(
            std::max<ssize_t>(::pread(serial_.get(), text.data(), text.size(), 0), 0)));
        return text;
    }
    void wait_for(std::string_view text) {
        while (said().find(text) == std::string::npos)
            std::this_thread::yield();
    }
    // Its end, after it has verified everything.
    std::string finish() {
        machine_->press_power_button();
        while (!events_.off)
            std::this_thread::yield();
        wait_for("GT exit");
        return said();
    }
    std::vector<std::byte> save() {
        OrderTrace trace;
        return std::move(migration::wire::save_state(machine_->sections(), RunState::Running, trace)).value();
    }
    Status load(std::span<const std::byte> bytes) {
        OrderTrace trace;
        TRY(migration::wire::load_state(bytes, machine_->sections(), trace));
        return {};
    }
    void take_ram_of(Running& other) {
        std::memcpy(machine_->memory().host(RamOffset{0}), other->memory().host(RamOffset{0}),
                    machine_->memory().size());
    }

  private:
    Fd serial_ = memory_file();
    Events events_;
    std::unique_ptr<Loop> loop_ = std::move(Loop::create()).value();
    std::thread thread_;
    std::unique_ptr<Guest> machine_;
};

Fd disk_file() {
    Fd disk = memory_file();
    REQUIRE(::ftruncate(disk.get(), 1 << 20) == 0);
    return disk;
}

// The number of the last beat that a guest has told in full.
int last_beat(const std::string& text) {
    constexpr std::string_view kBeat = "GT heartbeat n=";
    const std::size_t at = text.substr(0, text.rfind('\n')).rfind(kBeat);
    return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + kBeat.size());
}

} // namespace

TEST_CASE("what a plain machine does not have is refused", "[plain]") {
    const auto loop = std::move(Loop::create()).value();
    Events events;
    MachineConfig with_net, with_rng, with_cpu;
    with_net.nets.push_back({.tap = "tap0"});
    with_rng.rngs.push_back({.source = "getrandom"});
    with_cpu.cpu = "baseline";
    for (const MachineConfig& config : {with_net, with_rng, with_cpu}) {
        const auto made = PlainMachine::create(config, *loop, events);
        REQUIRE_FALSE(made.ok());
        CHECK(made.error().code == ErrorCode::InvalidInput);
    }
}

TEST_CASE("a held plain machine changes nothing, and every page that it wrote is told", "[plain]") {
    const Fd disk = disk_file();
    Running machine{disk};
    REQUIRE(machine->boot().ok());
    REQUIRE(machine->port().start_dirty_log().ok());
    const std::size_t bytes = machine->memory().size();
    std::vector<std::byte> before(bytes);
    for (int i = 0; i < 20; ++i) {
        std::memcpy(before.data(), machine->memory().host(RamOffset{0}), bytes);
        REQUIRE(machine->release(i == 0 ? Guest::Hold::NotStarted : Guest::Hold::Operator).ok());
        while (std::memcmp(before.data(), machine->memory().host(RamOffset{0}), bytes) == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        REQUIRE(machine->hold(Guest::Hold::Operator).ok());
        std::vector<std::uint64_t> dirty(bytes / kPageSize / 64);
        REQUIRE(machine->port().harvest_dirty(dirty).ok());
        const auto state = machine.save();
        std::size_t changed = 0, marked = 0, untold = 0;
        for (std::size_t page = 0; page < bytes / kPageSize; ++page) {
            const bool told = (dirty[page / 64] >> page % 64 & 1) != 0;
            const bool differs =
                std::memcmp(before.data() + page * kPageSize,
                            machine->memory().host(RamOffset{page * kPageSize}), kPageSize) != 0;
            changed += differs;
            marked += told;
            untold += differs && !told;
        }
        CHECK(untold == 0);
        CHECK(changed > 0);
        std::memcpy(before.data(), machine->memory().host(RamOffset{0}), bytes);
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
        CHECK(std::memcmp(before.data(), machine->memory().host(RamOffset{0}), bytes) == 0);
        CHECK(machine.save() == state);
    }
}

TEST_CASE("a guest goes on in another plain machine from sections, RAM and disk", "[plain]") {
    const Fd disk = disk_file();
    Running source{disk}, destination{disk, ""};
    REQUIRE(source->boot().ok());
    REQUIRE(source->release(Guest::Hold::NotStarted).ok());
    source.wait_for("GT ready "); // on a busy host beats may come first
    source.wait_for("GT heartbeat n=20 ");
    REQUIRE(source->hold(Guest::Hold::Migration).ok());
    auto state = source.save();
    // Its cursors lead nowhere in an empty RAM, but for the moments at which all are at the first page.
    while (destination.load(state).ok()) {
        for (StateSection* const section : destination->sections())
            section->discard_load();
        REQUIRE(source->release(Guest::Hold::Migration).ok());
        std::this_thread::yield();
        REQUIRE(source->hold(Guest::Hold::Migration).ok());
        state = source.save();
    }
    destination.take_ram_of(source);
    REQUIRE(destination.load(state).ok());
    for (StateSection* const section : destination->sections())
        REQUIRE(section->commit_load().ok());
    CHECK(destination.save() == state);
    REQUIRE(source->unlock_disks().ok());
    REQUIRE(destination->lock_disks().ok());
    REQUIRE(destination->release(Guest::Hold::NotStarted).ok());
    const int goal = last_beat(source.said()) + 10;
    destination.wait_for(fmt::format("GT heartbeat n={} ", goal));
    const std::string end = destination.finish();
    CHECK(end.find("GT finish why=power_button") != std::string::npos);
    CHECK(end.find("GT exit status=0") != std::string::npos);
    const std::string all = source.said() + end;
    for (int n = 0; n <= goal; ++n) {
        const std::string beat = fmt::format("GT heartbeat n={} ", n);
        INFO(beat);
        REQUIRE(all.find(beat) != std::string::npos);
        CHECK(all.find(beat) == all.rfind(beat));
    }
}

TEST_CASE("a plain machine's state bears every damage", "[plain]") {
    const Fd disk = disk_file();
    Running machine{disk};
    REQUIRE(machine->boot().ok());
    REQUIRE(machine->release(Guest::Hold::NotStarted).ok());
    machine.wait_for("GT heartbeat n=5 ");
    REQUIRE(machine->hold(Guest::Hold::Operator).ok());
    auto state = machine.save();
    std::mt19937 random{1};
    std::size_t refused = 0;
    for (int i = 0; i < 2000; ++i) {
        const std::size_t at = random() % state.size();
        const auto mask = static_cast<std::byte>(1u << (random() % 8));
        state[at] ^= mask;
        const bool taken = machine.load(state).ok();
        refused += !taken;
        for (StateSection* const section : machine->sections())
            taken ? (void)section->commit_load() : section->discard_load();
        state[at] ^= mask;
        if (taken) { // whatever it is now, it runs within its RAM
            REQUIRE(machine->release(Guest::Hold::Operator).ok());
            REQUIRE(machine->hold(Guest::Hold::Operator).ok());
        }
    }
    CHECK(refused > 50);
}

} // namespace plain_machine_test
