// SPDX-License-Identifier: Apache-2.0
//
// A machine in memory for the tests of the migration: guest RAM with a thread that writes to it, three
// sections, and a disk lock that two such machines compete for. It notices when both run.
#pragma once

#include "migration/machine_port.h"
#include "migration/wire/test_sections.h"
#include "vmm/cpu/sample_models.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>

namespace godwit::migration::test {

inline BootSourcePtr make_boot_source(std::size_t kernel, std::size_t initrd, std::string line) {
    const auto blob = [](std::size_t size, unsigned seed) {
        std::vector<std::byte> bytes(size);
        for (std::size_t i = 0; i < size; ++i)
            bytes[i] = static_cast<std::byte>((i * 31 + i / 4096 + seed) % 251);
        auto writer = std::move(BlobWriter::create("test")).value();
        (void)writer.append(bytes);
        return std::move(std::move(writer).seal()).value();
    };
    BootSource source{blob(kernel, 1), {}, std::move(line)};
    if (initrd != 0)
        source.initrd = blob(initrd, 2);
    return std::make_shared<const BootSource>(std::move(source));
}

inline bool same_boot_source(const BootSourcePtr& a, const BootSourcePtr& b) {
    const auto same = [](const Blob& one, const Blob& other) {
        const auto x = std::move(one.map()).value(), y = std::move(other.map()).value();
        return std::ranges::equal(x.bytes(), y.bytes());
    };
    if (a == nullptr || b == nullptr)
        return a == b;
    return same(a->kernel, b->kernel) && a->initrd.has_value() == b->initrd.has_value() &&
           (!a->initrd || same(*a->initrd, *b->initrd)) && a->command_line == b->command_line;
}

// What the two machines share: one guest, one disk.
struct World {
    std::atomic<int> running{0};
    std::atomic<bool> ran_twice{false};
    std::atomic<const void*> disk_owner{nullptr};
};

class TestPort : public MachinePort {
  public:
    TestPort(World& world, std::uint64_t ram_size)
        : world_(world), memory_(std::move(GuestMemory::create(ram_size, std::uint64_t{3} << 30)).value()) {
        description.board = "test";
        description.memory = ram_size;
        host.memory_available = ram_size;
        description.cpu = host.cpu = cpu::test::server();
    }
    ~TestPort() override {
        if (guest_runs_)
            stop_guest();
    }

    // The guest starts here: its RAM has some data and many zero pages, and it owns its disk.
    void boot(RunState state) {
        std::minstd_rand random{1};
        for (std::uint64_t page = 0; page < memory_->page_count(); ++page)
            if (page % 3 == 0)
                write_page(page, static_cast<std::uint32_t>(random()));
        timer.state = {11, 22};
        device.state = sample_device();
        boot_with = make_boot_source(5000, 3000, "quiet");
        world_.disk_owner = this;
        stands_ = state;
        if (state == RunState::Running)
            start_guest();
    }

    // Writes one word of a page as the guest would.
    void write_page(std::uint64_t page, std::uint32_t value) {
        (void)memory_->write(Gpa{page * kPageSize + value % 1000 * 4}, value | 1);
    }
    bool runs() const { return guest_runs_; }
    bool owns_disk() const { return world_.disk_owner == this; }
    std::vector<std::string> calls() const {
        const std::lock_guard lock{mutex_};
        return calls_;
    }
    bool called(std::string_view name) const { return std::ranges::count(calls(), name) != 0; }

    // What the tests change.
    MachineDescription description;
    HostState host;
    MachineDescription prepared_for;
    std::string own_notes = R"({"of": "the source"})";
    std::string came_with; // notes
    BootSourcePtr boot_with;
    bool writes_memory = true;      // the running guest
    std::string fails;              // the name of the call that fails
    std::function<void()> on_pause; // before the guest stops
    std::function<Result<WriteBackState>(std::chrono::milliseconds)> on_write_back;
    std::atomic<std::uint32_t> throttle_percent{0};
    TestSection<TimerState> timer;
    TestSection<DeviceState> device{{}, "0000:00:01.0/"};

    // ---- MachinePort

    MachineDescription describe() override { return description; }
    HostState host_state(const MachineDescription&) override { return host; }
    Status prepare_for(const MachineDescription& guest) override {
        prepared_for = guest;
        return call("prepare_for");
    }
    std::string feature_name(std::uint16_t, unsigned bit) override { return fmt::format("bit {}", bit); }
    GuestMemory& memory() override { return *memory_; }

    Status start_dirty_log() override {
        memory_->dirty().start();
        return call("start_dirty_log");
    }
    Status harvest_dirty(std::span<std::uint64_t> words) override {
        memory_->dirty().harvest_into(words);
        return {};
    }
    Status stop_dirty_log() override {
        memory_->dirty().stop();
        return call("stop_dirty_log");
    }
    Status throttle(std::uint32_t percent) override {
        throttle_percent = percent;
        return call("throttle");
    }
    RunState run_state() override { return guest_runs_ ? RunState::Running : stands_; }
    Status pause() override {
        if (on_pause)
            on_pause();
        if (guest_runs_)
            stop_guest();
        return call("pause");
    }
    Status resume(RunState state) override {
        if (state == RunState::Running)
            start_guest();
        return call("resume");
    }
    Result<WriteBackState> write_back(std::chrono::milliseconds patience) override {
        if (on_write_back)
            return on_write_back(patience);
        return WriteBackState{};
    }
    Status release_resources() override {
        const void* self = this;
        world_.disk_owner.compare_exchange_strong(self, nullptr);
        return call("release_resources");
    }
    Status reclaim_resources() override {
        TRY(lock_disk());
        return call("reclaim_resources");
    }
    void handed_over() override { (void)call("handed_over"); }
    std::vector<StateSection*> sections() override { return {&timer, &device}; }
    BootSourcePtr boot_source() override { return boot_with; }

    Status discard_incoming() override {
        const void* self = this;
        world_.disk_owner.compare_exchange_strong(self, nullptr);
        TRY(memory_->discard_all());
        boot_with.reset();
        return call("discard_incoming");
    }
    std::string notes() override { return own_notes; }
    Status apply_incoming(BesideSections beside) override {
        came_with = beside.notes;
        for (StateSection* const section : sections())
            TRY(section->commit_load());
        TRY(lock_disk());
        boot_with = std::move(beside.boot);
        return call("apply_incoming");
    }
    Status take_over(RunState state) override {
        TRY(call("take_over"));
        stands_ = state;
        if (state == RunState::Running) {
            writes_memory = false; // so that the two RAMs can be compared
            start_guest();
        }
        return {};
    }

  private:
    RunState stands_ = RunState::Paused; // when it does not run

    Status call(std::string_view name) {
        const std::lock_guard lock{mutex_};
        calls_.emplace_back(name);
        if (name == fails)
            return error(ErrorCode::System, "{} fails", name);
        return {};
    }
    Status lock_disk() {
        const void* nobody = nullptr;
        if (!world_.disk_owner.compare_exchange_strong(nobody, this) && nobody != this)
            return error(ErrorCode::NoDevice, "the disk is locked");
        return {};
    }
    void start_guest() {
        guest_runs_ = true;
        if (world_.running.fetch_add(1) != 0)
            world_.ran_twice = true;
        guest_ = std::jthread{[this](const std::stop_token& stop) {
            std::minstd_rand random{7};
            while (!stop.stop_requested()) {
                if (writes_memory)
                    write_page(random() % memory_->page_count(), static_cast<std::uint32_t>(random()));
                std::this_thread::sleep_for(std::chrono::microseconds{50});
            }
        }};
    }
    void stop_guest() {
        guest_ = {};
        world_.running.fetch_sub(1);
        guest_runs_ = false;
    }

    World& world_;
    std::unique_ptr<GuestMemory> memory_;
    std::atomic<bool> guest_runs_{false};
    mutable std::mutex mutex_;
    std::vector<std::string> calls_;
    std::jthread guest_; // last: its thread uses the members above
};

inline bool same_ram(TestPort& a, TestPort& b) {
    return a.memory().size() == b.memory().size() &&
           std::memcmp(a.memory().host(RamOffset{0}), b.memory().host(RamOffset{0}), a.memory().size()) == 0;
}
inline bool ram_is_zero(TestPort& port) {
    const std::span bytes{port.memory().host(RamOffset{0}), port.memory().size()};
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

} // namespace godwit::migration::test
