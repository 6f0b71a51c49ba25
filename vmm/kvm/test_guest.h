// SPDX-License-Identifier: Apache-2.0
//
// A tiny machine for tests: a few MiB of RAM, one program of hand-made 32-bit code at 0x10000, and devices
// that record.
#pragma once

#include "vmm/kvm/boot_state.h"
#include "vmm/kvm/vcpu_set.h"

#include <catch2/catch.hpp>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>

namespace godwit::kvm {

inline constexpr Gpa kProgram{0x10000};
inline constexpr std::uint64_t kTestRam = 2 << 20;
inline constexpr Gpa kTestMmio{0xd0000000};

template <class T>
T must(Result<T> result) {
    if (!result.ok())
        FAIL(result.error().text);
    return std::move(result).value();
}
inline void must(const Status& status) {
    if (!status.ok())
        FAIL(status.error().text);
}

// Records every write and answers reads with 0, 1, 2... Registers: whatever range it is mapped at.
class RecordingDevice : public BusDevice {
  public:
    struct Access {
        std::uint64_t offset;
        std::size_t size;
        std::uint64_t value;
        bool operator==(const Access&) const = default;
    };

    std::string_view name() const override { return "recorder"; }
    void read(std::uint64_t, std::span<std::byte> data) override {
        const std::lock_guard lock{mutex_};
        const std::uint64_t value = hold_reads_at_zero_ ? 0 : reads_;
        ++reads_;
        std::memcpy(data.data(), &value, data.size());
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        Access access{offset, data.size(), 0};
        std::memcpy(&access.value, data.data(), data.size());
        {
            const std::lock_guard lock{mutex_};
            writes_.push_back(access);
        }
        changed_.notify_all();
    }

    // Blocks; a guest that never gets there fails the test.
    void wait_for_writes(std::size_t count) {
        std::unique_lock lock{mutex_};
        const bool came =
            changed_.wait_for(lock, std::chrono::seconds{30}, [&] { return writes_.size() >= count; });
        INFO(writes_.size() << " of " << count << " writes came");
        REQUIRE(came);
    }
    std::vector<Access> writes() const {
        const std::lock_guard lock{mutex_};
        return writes_;
    }
    std::uint64_t reads() const {
        const std::lock_guard lock{mutex_};
        return reads_;
    }
    void hold_reads_at_zero(bool hold) {
        const std::lock_guard lock{mutex_};
        hold_reads_at_zero_ = hold;
        reads_ = 1;
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Access> writes_;
    std::uint64_t reads_ = 0;
    bool hold_reads_at_zero_ = false;
};

// What the vCPUs reported.
class RecordingEvents : public VcpuEvents {
  public:
    void on_stop(std::uint32_t, StopReason reason) override { record(std::string{to_string(reason)}); }
    void on_error(std::uint32_t, Error failure) override { record(failure.text); }
    std::string wait() {
        std::unique_lock lock{mutex_};
        REQUIRE(changed_.wait_for(lock, std::chrono::seconds{30}, [&] { return !reports_.empty(); }));
        std::string first = reports_.front();
        reports_.pop_front();
        return first;
    }
    bool empty() const {
        const std::lock_guard lock{mutex_};
        return reports_.empty();
    }

  private:
    void record(std::string text) {
        {
            const std::lock_guard lock{mutex_};
            reports_.push_back(std::move(text));
        }
        changed_.notify_all();
    }
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> reports_;
};

struct TestGuest {
    // Paused, with vCPU 0 at the program's start. Ports 0x10 to 0x1f and the page at kTestMmio are recorded.
    explicit TestGuest(std::span<const std::uint8_t> program, std::uint32_t vcpu_count = 1,
                       std::uint64_t ram = kTestRam, std::uint64_t low_ram = kTestRam) {
        kvm = must(Kvm::open());
        memory = must(GuestMemory::create(ram, low_ram));
        must(memory->write(kProgram, std::as_bytes(program)));
        vm = must(Vm::create(*kvm, *memory));
        must(port_bus.map(0x10, 0x10, ports));
        must(mmio_bus.map(kTestMmio.value, 0x3000, mmio));
        model.cpuid = must(make_cpuid_template(*kvm));
        vcpus = must(VcpuSet::create(*vm, {vcpu_count, model, {port_bus, mmio_bus}, events}));
        must(set_pvh_entry(vcpus->at(0), kProgram, Gpa{0}));
    }

    std::unique_ptr<Kvm> kvm;
    std::unique_ptr<GuestMemory> memory;
    std::unique_ptr<Vm> vm;
    Bus port_bus{"port"};
    Bus mmio_bus{"mmio"};
    RecordingDevice ports;
    RecordingDevice mmio;
    RecordingEvents events;
    cpu::CpuModel model;
    std::unique_ptr<VcpuSet> vcpus;
};

} // namespace godwit::kvm
