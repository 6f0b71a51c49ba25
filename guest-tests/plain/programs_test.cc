// SPDX-License-Identifier: Apache-2.0
//
// The programs notice what a machine must not lose, and keep nothing outside their state.
#include "devices/serial/registers.h"
#include "devices/serial/serial_fakes.h"
#include "guest-tests/plain/disk_work.h"
#include "guest-tests/plain/heartbeat.h"
#include "guest-tests/plain/mem_worker.h"

#include <catch2/catch.hpp>

#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace programs_test {

using namespace godwit;
using namespace godwit::plain;

namespace {

constexpr std::uint64_t kMiB = 1 << 20;

guest::Options options_of(const char* line) {
    guest::Options options;
    options.set(line);
    return options;
}

std::unique_ptr<GuestMemory> ram(std::uint64_t bytes = 4 * kMiB) {
    return std::move(GuestMemory::create(bytes, std::uint64_t{3} << 30)).value();
}

// A worker of a machine with one CPU, made anew for each step: as if the guest moved between any two.
struct Writer {
    explicit Writer(const char* line)
        : options(options_of(line)),
          plan(MemPlan::of(options, Layout::of(options, memory->size(), 0), 0, 1)) {}
    MemWorker worker() { return {*memory, state, plan}; }
    void steps(int count) {
        for (int i = 0; i < count; ++i)
            worker().step(now += 1000);
    }
    WorkerPhase finish() {
        worker().finish();
        while (worker().phase() < WorkerPhase::Done)
            steps(1);
        return worker().phase();
    }
    std::byte* page(std::uint64_t number) {
        return memory->host(RamOffset{(plan.pages.first + number) * kPageSize});
    }

    std::unique_ptr<GuestMemory> memory = ram();
    guest::Options options;
    MemPlan plan;
    CpuState state;
    std::uint64_t now = 0;
};

struct Disk {
    explicit Disk(const char* line, bool readonly = false)
        : fd(Fd::adopt(::memfd_create("disk", MFD_CLOEXEC))), options(options_of(line)) {
        REQUIRE(::ftruncate(fd.get(), kMiB) == 0);
        image.emplace(
            std::move(virtio::BlkImage::open(fmt::format("/proc/self/fd/{}", fd.get()), readonly)).value());
        plan = DiskPlan::of(options, Layout::of(options, memory->size(), kMiB), readonly);
    }
    void steps(int count, bool finishing = false) {
        for (int i = 0; i < count; ++i)
            DiskWork(*memory, *image, state, plan,
                     [this](std::string_view what, std::uint64_t block, std::uint64_t) {
                         told.push_back(fmt::format("{} {}", what, block));
                     })
                .step(now += 1000, finishing);
    }
    // As the disk's own host would: puts `bytes` at a place of the file.
    void put(std::uint64_t at, std::string_view bytes) {
        REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)) ==
                static_cast<ssize_t>(bytes.size()));
    }
    std::string block(std::uint64_t number) {
        std::string bytes(4096, '\0');
        REQUIRE(::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(number * 4096)) == 4096);
        return bytes;
    }

    Fd fd;
    std::unique_ptr<GuestMemory> memory = ram();
    std::optional<virtio::BlkImage> image;
    guest::Options options;
    DiskPlan plan;
    DiskState state;
    std::uint64_t now = 0;
    std::vector<std::string> told;
};

} // namespace

TEST_CASE("what lies in RAM follows from the command line and fits, or is told not to", "[plain]") {
    const auto options = options_of("prog=mem,disk mem.size=1M mem.static=64K disk.span=512K");
    const Layout layout = Layout::of(options, 4 * kMiB, kMiB);
    CHECK(layout.disk_blocks == 128);
    CHECK(layout.static_pages.first > Layout::kDiskTable.value / kPageSize);
    CHECK(layout.static_pages.count == 16);
    CHECK(layout.pages.first == layout.static_pages.first + 16);
    CHECK(layout.pages.count == 256);
    CHECK(layout.pages.first + 256 == 4 * kMiB / kPageSize);
    CHECK(layout.pages.slice(0, 3).count + layout.pages.slice(1, 3).count + layout.pages.slice(2, 3).count ==
          256);

    CHECK_FALSE(Layout::of(options, kMiB, kMiB).mem_fits);
    CHECK_FALSE(Layout::of(options_of("prog=mem mem.size=18446744073709551615"), 4 * kMiB, 0).mem_fits);
    CHECK_FALSE(
        Layout::of(options_of("prog=mem mem.size=1M mem.static=18446744073709551615"), 4 * kMiB, 0).mem_fits);
    CHECK_FALSE(Layout::of(options, 4 * kMiB, 0).disk);
    CHECK_FALSE(Layout::of(options_of("prog=disk disk.span=0"), 4 * kMiB, kMiB).disk_fits);
}

TEST_CASE("a command line that asks for other programs is refused", "[plain]") {
    const auto memory = ram();
    CHECK(store_command_line(*memory, "prog=mem,heartbeat time=5").ok());
    CHECK(load_command_line(*memory).line() == "prog=mem,heartbeat time=5");
    const Status refused = store_command_line(*memory, "prog=mem,net");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::InvalidInput);
    CHECK(refused.error().text.find("prog=net") != std::string::npos);
    CHECK_FALSE(store_command_line(*memory, "time=5").ok());
    CHECK_FALSE(store_command_line(*memory, std::string(5000, 'x')).ok());
}

TEST_CASE("mem goes on with nothing but its state and RAM, and finds all pages right", "[plain]") {
    Writer writer{"prog=mem mem.size=256K mem.static=64K"};
    writer.steps(40);
    CHECK(writer.state.generation > 3);
    CHECK(writer.finish() == WorkerPhase::Done);
    CHECK(writer.state.verified > 64 + 16);
}

TEST_CASE("mem finds a page that is wrong", "[plain]") {
    Writer writer{"prog=mem mem.size=256K mem.static=64K"};
    writer.steps(20);
    const auto failure = [&] {
        REQUIRE(writer.worker().phase() == WorkerPhase::Failed);
        return writer.worker().failure();
    };
    SECTION("before it rewrites it: one bit") {
        *(writer.page(5) + 1000) ^= std::byte{1};
        writer.steps(20);
        CHECK(failure().word == 125);
    }
    SECTION("at the end: an older one") {
        const std::vector<std::byte> old(writer.page(7), writer.page(7) + kPageSize);
        const auto rewritten = writer.state.generation + 2;
        while (writer.state.cursor <= 7 || writer.state.generation < rewritten)
            writer.steps(1);
        writer.worker().finish();
        std::copy(old.begin(), old.end(), writer.page(7));
        writer.finish();
        CHECK(failure().found_generation < failure().generation);
    }
    SECTION("one at another place") {
        std::copy(writer.page(3), writer.page(4), writer.page(9));
        writer.finish();
        CHECK(failure().found_address != failure().address);
    }
    SECTION("a static one") {
        *writer.memory->host(RamOffset{writer.plan.static_pages.first * kPageSize + 64}) ^= std::byte{1};
        writer.finish();
        CHECK(failure().word == 8);
    }
}

TEST_CASE("mem notices when any part of its state is lost", "[plain]") {
    Writer writer{"prog=mem mem.size=256K"};
    while (writer.state.cursor == 0 || writer.state.generation < 3)
        writer.steps(1);
    SECTION("the cursor") {
        writer.state.cursor = 0;
    }
    SECTION("the generation") {
        writer.state.generation = 1;
    }
    SECTION("a round") {
        --writer.state.generation;
    }
    CHECK(writer.finish() == WorkerPhase::Failed);
}

TEST_CASE("states that lead outside of the programs' RAM and disk are refused", "[plain]") {
    const Writer writer{"prog=mem mem.size=256K"};
    CHECK(check_state(CpuState{.cursor = 63}, writer.plan).ok());
    CHECK_FALSE(check_state(CpuState{.cursor = 64}, writer.plan).ok());
    CHECK_FALSE(check_state(CpuState{.check_cursor = 65}, writer.plan).ok());
    const Disk disk{"prog=disk disk.span=512K"};
    CHECK(check_state(DiskState{.verify_next = 128}, disk.plan).ok());
    CHECK_FALSE(check_state(DiskState{.verify_next = 129}, disk.plan).ok());
    CHECK_FALSE(Schema<CpuState>::validate(CpuState{.phase = 6}).ok());
    CHECK_FALSE(Schema<ProgramsState>::validate(ProgramsState{.stage = 6}).ok());
    CHECK_FALSE(Schema<ProgramsState>::validate(ProgramsState{.output_begin = Layout::kOutputBytes}).ok());
}

TEST_CASE("the disk holds what was written, and what it must not hold is noticed", "[plain]") {
    Disk disk{"prog=disk disk.span=256K"};
    disk.steps(200);
    REQUIRE(disk.told.empty());
    REQUIRE(disk.state.writes > 100);
    REQUIRE(disk.state.sequence == disk.state.writes);
    SECTION("all is well") {
        disk.steps(16, true);
        CHECK(disk.state.verify_next == 64);
        CHECK(disk.told.empty());
        CHECK(disk.state.errors == 0);
    }
    SECTION("a flipped bit") {
        disk.put(5 * 4096 + 2000, "x");
        disk.steps(16, true);
        CHECK(disk.told == std::vector<std::string>{"damaged_block 5"});
    }
    SECTION("a block that was written before") {
        const std::string old = disk.block(7);
        while (disk.block(7) == old)
            disk.steps(1);
        disk.put(7 * 4096, old);
        disk.steps(16, true);
        CHECK(disk.told == std::vector<std::string>{"stale_block 7"});
    }
    SECTION("a block at another place") {
        disk.put(9 * 4096, disk.block(8));
        disk.steps(16, true);
        CHECK(disk.told == std::vector<std::string>{"damaged_block 9"});
    }
}

TEST_CASE("a read-only disk is only read", "[plain]") {
    Disk disk{"prog=disk disk.span=256K", true};
    disk.steps(100);
    CHECK(disk.state.reads == 400);
    CHECK(disk.state.writes == 0);
    disk.put(3 * 4096, "something");
    disk.steps(16, true);
    CHECK(disk.told == std::vector<std::string>{"block_changed 3"});
}

TEST_CASE("heartbeats are numbered, and late ones are not made up for", "[plain]") {
    const auto memory = ram();
    SerialFixture serial;
    ProgramsState programs;
    Output output{*memory, programs, serial.uart};
    output.begin();
    HeartbeatState state;
    const auto beat = [&](std::uint64_t now) {
        return Heartbeat(state, options_of("heartbeat.period=1000")).step(now, output);
    };
    CHECK(beat(5'000) == 1'005'000);
    CHECK(beat(1'005'000) == 2'005'000);
    CHECK(beat(1'500'000) == 2'005'000);
    CHECK(beat(9'000'000) == 10'000'000);
    CHECK(state.beats == 2);
    CHECK(state.late == 1);
    CHECK(state.longest_gap == 7'995'000);
    output.send();
    CHECK(serial.console.output == "GT heartbeat n=0 tsc=1005000\nGT heartbeat n=1 tsc=9000000\n");
}

TEST_CASE("a line that is half sent goes on where the guest goes on", "[plain]") {
    const auto memory = ram();
    SerialFixture here, there;
    ProgramsState state;
    here.console.appetite = 7;
    Output first{*memory, state, here.uart};
    first.begin();
    for (int i = 0; i < 500; ++i) { // more than the ring holds
        Report(first, "line").add("n", i);
        first.send();
        if (!first.has_room())
            here.console.take_more(4000);
    }
    REQUIRE_FALSE(first.empty());
    const ProgramsState moved = state;
    ProgramsState arrived = moved;
    there.uart.pause();
    here.uart.pause();
    there.uart.apply(here.uart.capture());
    there.uart.resume();
    Output second{*memory, arrived, there.uart};
    while (!second.empty())
        second.send();
    std::string expected;
    for (int i = 0; i < 500; ++i)
        expected += fmt::format("GT line n={}\n", i);
    CHECK(here.console.output + there.console.output == expected);
}

} // namespace programs_test
