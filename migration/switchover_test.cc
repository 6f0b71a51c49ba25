// SPDX-License-Identifier: Apache-2.0
//
// A migration that waits, with its guest paused, until an operator lets it go on.
#include "migration/destination.h"
#include "migration/source.h"
#include "migration/switchover_gate.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace switchover_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{1} << 20;

struct Waiting {
    Waiting() {
        source.boot(RunState::Running);
        receiving = std::async(std::launch::async, [this] {
            Progress there;
            DestinationOptions patience;
            patience.timeout = 300ms;
            return receive(destination, *link.destination, patience, there, nullptr);
        });
        migrating = std::async(std::launch::async, [this] {
            SourceOptions options;
            options.parameters = &parameters;
            options.gate = &gate;
            options.timeout = 400ms; // it shows that it is there four times as often
            return migrate(source, *link.source, options, progress, cancel.get());
        });
        while (!arrived || progress.snapshot().status != MigrationStatus::PreSwitchover)
            std::this_thread::yield();
    }
    ~Waiting() { cancel->request(); }

    World world;
    TestPort source{world, kRam};
    TestPort destination{world, kRam};
    Link link = connected();
    Progress progress;
    LiveParameters parameters{[] {
        Parameters asked;
        asked.pause_before_switchover = true;
        return asked;
    }()};
    std::atomic<bool> arrived{false};
    SwitchoverGate gate{[this] { arrived = true; }};
    std::unique_ptr<Cancel> cancel = std::move(Cancel::create()).value();
    std::future<Result<Report>> receiving;
    std::future<Result<Report>> migrating;
};

} // namespace

TEST_CASE("a guest paused before its switchover moves when it may", "[switchover]") {
    Waiting waiting;
    REQUIRE(waiting.progress.snapshot().status == MigrationStatus::PreSwitchover);
    REQUIRE_FALSE(waiting.source.runs());
    REQUIRE(waiting.source.owns_disk());
    REQUIRE_FALSE(waiting.source.called("release_resources"));
    // Longer than the destination's patience.
    while (waiting.progress.snapshot().total_time < 600ms)
        std::this_thread::sleep_for(10ms);
    REQUIRE(waiting.gate.open().ok());
    const auto outcome = waiting.migrating.get();
    REQUIRE(outcome.ok());
    REQUIRE(waiting.receiving.get().ok());
    REQUIRE(same_ram(waiting.source, waiting.destination));
    REQUIRE(waiting.destination.runs());
    REQUIRE_FALSE(waiting.world.ran_twice);
    REQUIRE(waiting.gate.open().error().code == ErrorCode::InvalidInput);
}

TEST_CASE("a guest paused before its switchover goes on when it is cancelled", "[switchover]") {
    Waiting waiting;
    waiting.cancel->request();
    REQUIRE(waiting.migrating.get().error().code == ErrorCode::Cancelled);
    REQUIRE(waiting.receiving.get().error().code == ErrorCode::Cancelled);
    REQUIRE(waiting.source.runs());
    REQUIRE(waiting.progress.snapshot().status == MigrationStatus::Cancelled);
    REQUIRE(waiting.gate.open().error().code == ErrorCode::InvalidInput);
}

TEST_CASE("a peer that goes away while its guest is paused before the switchover is noticed",
          "[switchover]") {
    Waiting waiting;
    waiting.link.destination->close();
    REQUIRE(waiting.migrating.get().error().code == ErrorCode::Disconnected);
    REQUIRE(waiting.source.runs());
}

} // namespace switchover_test
