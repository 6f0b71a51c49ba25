// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/guest.h"
#include "vmm/machine/guest_port.h"

#include <catch2/catch.hpp>

using namespace godwit;
using Catch::Matchers::Contains;

namespace {

// Only holds and releases are of interest.
class HeldGuest final : public Guest {
  public:
    const MachineConfig& config() const override { return config_; }
    Status boot() override { return {}; }
    Status read_boot_source() override { return {}; }
    void press_power_button() override {}
    std::string console() const override { return {}; }
    migration::MachinePort& port() override { std::abort(); }
    GuestMemory& memory() override { std::abort(); }
    const std::vector<StateSection*>& sections() const override { return sections_; }
    cpu::CpuModel cpu() const override { return model_; }
    const cpu::CpuModel& cpu_offer() const override { return model_; }
    Status adopt_cpu(const cpu::CpuModel&) override { return {}; }
    void adopt_devices(const std::vector<migration::DeviceDescription>&) override {}
    Status lock_disks() override {
        ++lock_attempts;
        return lock_attempts <= refused_locks ? error(lock_code, "in use") : Status{};
    }
    Status unlock_disks() override { return {}; }
    WriteBack::Pass write_back_pass() const override { return {}; }
    std::optional<std::int64_t> stopped_at() const override { return {}; }
    void set_stopped_at(std::int64_t) override {}
    std::vector<DiskContent> disk_contents() const override { return {}; }
    Status begin_generation() override { return {}; }
    void arrived() override {}

    using Guest::stop_by_guest;
    void give(migration::BootSourcePtr source) { set_given_boot_source(std::move(source)); }

    Status stop_result, start_result;
    bool runs = false;
    int lock_attempts = 0, refused_locks = 0;
    ErrorCode lock_code = ErrorCode::NoDevice;

  private:
    Status stop() override {
        runs = false;
        return stop_result;
    }
    Status start() override {
        runs = start_result.ok();
        return start_result;
    }
    Status clear() override { return {}; }

    MachineConfig config_;
    std::vector<StateSection*> sections_;
    cpu::CpuModel model_;
};

// What a migration reads and sets of a guest's holds.
class HeldPort final : public GuestPort {
  public:
    using GuestPort::GuestPort;
    migration::MachineDescription describe() override { return {}; }
    std::string feature_name(std::uint16_t, unsigned) override { return {}; }
    Status start_dirty_log() override { return {}; }
    Status harvest_dirty(std::span<std::uint64_t>) override { return {}; }
    Status stop_dirty_log() override { return {}; }
    Status throttle(std::uint32_t) override { return {}; }
    migration::HostState host_state(const migration::MachineDescription&) override { return {}; }
};

} // namespace

TEST_CASE("a guest that asks for its end again and again is stopped once, until it is reset", "[guest]") {
    HeldGuest guest;
    CHECK(guest.stop_by_guest(GuestStop::Reset));
    CHECK_FALSE(guest.stop_by_guest(GuestStop::Reset));
    CHECK_FALSE(guest.stop_by_guest(GuestStop::PowerOff));
    CHECK(guest.stopped_by_guest() == GuestStop::Reset);
    REQUIRE(guest.reset().ok());
    CHECK(guest.stopped_by_guest() == GuestStop::None);
    CHECK(guest.stop_by_guest(GuestStop::Crash));
}

TEST_CASE("a lock that a killed process still holds for a moment is waited for at the start") {
    HeldGuest guest;
    guest.refused_locks = 3;
    CHECK(guest.lock_disks_at_start().ok());
    CHECK(guest.lock_attempts == 4);
    guest.lock_attempts = 0;
    guest.lock_code = ErrorCode::System; // not for what time does not mend
    CHECK_FALSE(guest.lock_disks_at_start().ok());
    CHECK(guest.lock_attempts == 1);
}

TEST_CASE("a guest that waits for its disk is moved as such, and waits there") {
    HeldGuest here, there;
    HeldPort source{here}, destination{there};
    REQUIRE(here.release(Guest::Hold::NotStarted).ok());
    REQUIRE(here.hold(Guest::Hold::IoError).ok());
    REQUIRE(here.hold(Guest::Hold::Operator).ok()); // one release of both lets it go on
    REQUIRE(source.run_state() == migration::RunState::IoError);
    REQUIRE(destination.take_over(migration::RunState::IoError).ok());
    CHECK_FALSE(there.runs);
    CHECK(destination.run_state() == migration::RunState::IoError);
    REQUIRE(there.release(Guest::Hold::IoError).ok());
    CHECK(there.runs);
    CHECK(destination.run_state() == migration::RunState::Running);
}

TEST_CASE("a guest stands still while anybody holds it") {
    HeldGuest guest;
    REQUIRE(guest.release(Guest::Hold::NotStarted).ok());
    REQUIRE(guest.runs);
    REQUIRE(guest.hold(Guest::Hold::Operator).ok());
    REQUIRE(guest.hold(Guest::Hold::Save).ok());
    REQUIRE(guest.release(Guest::Hold::Operator).ok());
    CHECK_FALSE(guest.runs);
    CHECK_FALSE(guest.running());
    REQUIRE(guest.release(Guest::Hold::Save).ok());
    CHECK(guest.runs);
    CHECK(guest.running());
}

TEST_CASE("a guest that cannot be stopped runs on, and is held by nobody") {
    HeldGuest guest;
    REQUIRE(guest.release(Guest::Hold::NotStarted).ok());
    guest.stop_result = invalid_input("storage hangs");
    const Status held = guest.hold(Guest::Hold::Operator);
    REQUIRE_FALSE(held.ok());
    CHECK(held.error().text == "storage hangs");
    CHECK(guest.runs);
    CHECK(guest.running());
    CHECK_FALSE(guest.held(Guest::Hold::Operator));
    guest.stop_result = {};
    REQUIRE(guest.hold(Guest::Hold::Operator).ok());
    CHECK_FALSE(guest.runs);
}

TEST_CASE("a guest that neither stops nor goes on is held, and says so") {
    HeldGuest guest;
    REQUIRE(guest.release(Guest::Hold::NotStarted).ok());
    guest.stop_result = invalid_input("storage hangs");
    guest.start_result = invalid_input("devices do not answer");
    const Status held = guest.hold(Guest::Hold::Operator);
    REQUIRE_FALSE(held.ok());
    CHECK_THAT(held.error().text, Contains("storage hangs") && Contains("neither stops nor goes on") &&
                                      Contains("devices do not answer"));
    CHECK(guest.held(Guest::Hold::Operator));
}

TEST_CASE("what was given to boot with wins over what came with the guest") {
    HeldGuest guest;
    CHECK(guest.boot_source() == nullptr);
    const auto source_of = [](const char* line) {
        auto kernel = std::move(BlobWriter::create("kernel")).value();
        return std::make_shared<const migration::BootSource>(
            migration::BootSource{std::move(std::move(kernel).seal()).value(), {}, line});
    };
    const auto came = source_of("came");
    guest.set_boot_source_that_came(came);
    CHECK(guest.boot_source() == came);
    guest.set_boot_source_that_came(nullptr); // it was thrown away with the guest
    CHECK(guest.boot_source() == nullptr);
    const auto given = source_of("given");
    guest.give(given);
    guest.set_boot_source_that_came(came);
    CHECK(guest.boot_source() == given);
    CHECK(came.use_count() == 1); // nobody keeps what is of no use
    guest.set_boot_source_that_came(nullptr);
    CHECK(guest.boot_source() == given);
}
