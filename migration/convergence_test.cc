// SPDX-License-Identifier: Apache-2.0
//
// A guest that writes faster than it can be sent, and an operator who has said what is to be done then.
#include "migration/destination.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"
#include "migration/time_limit.h"

#include <catch2/catch.hpp>

#include <future>

namespace convergence_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{2} << 20;
// A slow link: at most 100 MB/s in the first round, at most 13 MB/s later.
constexpr auto kRoundTime = 20ms;
constexpr std::uint64_t kWrittenPages = 64;

// Of the source.
class Recorder : public Observer {
  public:
    void round_ended(const RoundReport& round, const Decision& decision) override {
        rounds.push_back(round);
        decisions.push_back(decision);
        if (on_round)
            on_round(round.number);
    }
    void ended(const Report& report, const Error* reason) override {
        ++endings;
        last = report;
        if (reason != nullptr)
            why = reason->text;
    }
    std::function<void(std::uint32_t)> on_round;
    std::vector<RoundReport> rounds;
    std::vector<Decision> decisions;
    int endings = 0;
    Report last;
    std::string why;
};

// A guest of which `writes(port)` pages are dirty after each round.
struct Convergence {
    Convergence() {
        source.writes_memory = false;
        source.boot(RunState::Running);
        Parameters wanted;
        wanted.downtime_limit = 31ms; // 30 of them are fixed: a millisecond for RAM, 25 pages at most
        parameters.set(wanted);
    }
    void set(const std::function<void(Parameters&)>& change) {
        Parameters now = parameters.get();
        change(now);
        parameters.set(now);
    }

    Result<Report> migrate() {
        const Link link = connected();
        link.source->on_frame = [this](Message type, Bytes&) {
            if (type == Message::RoundEnd) {
                const std::uint64_t pages = writes();
                for (std::uint64_t page = 0; page < pages; ++page)
                    source.write_page(page, static_cast<std::uint32_t>(page));
                std::this_thread::sleep_for(kRoundTime);
            }
            return TestChannel::Action::Pass;
        };
        auto receiving = std::async(std::launch::async, [&] {
            return receive(destination, *link.destination, {}, destination_progress, nullptr);
        });
        SourceOptions options;
        options.parameters = &parameters;
        options.observer = &seen;
        auto sent = [&] {
            const TimeLimit limit{parameters, *cancel};
            return godwit::migration::migrate(source, *link.source, options, progress, cancel.get());
        }();
        received = receiving.get();
        REQUIRE_FALSE(world.ran_twice);
        REQUIRE(seen.endings == 1);
        REQUIRE(source.throttle_percent == 0);
        REQUIRE(progress.snapshot().throttle == 0);
        return sent;
    }
    void check_stayed(const Result<Report>& sent, ErrorCode code) {
        REQUIRE_FALSE(sent.ok());
        REQUIRE(sent.error().code == code);
        REQUIRE(seen.why == sent.error().text);
        REQUIRE(received->error().code == code);
        REQUIRE_THAT(received->error().text, Catch::EndsWith(sent.error().text)); // it heard the reason
        REQUIRE(source.run_state() == RunState::Running);
        REQUIRE(source.owns_disk());
        REQUIRE_FALSE(destination.runs());
    }

    World world;
    TestPort source{world, kRam};
    TestPort destination{world, kRam};
    Progress progress;
    Progress destination_progress;
    LiveParameters parameters;
    std::unique_ptr<Cancel> cancel = std::move(Cancel::create()).value();
    Recorder seen;
    std::function<std::uint64_t()> writes = [] { return kWrittenPages; };
    std::optional<Result<Report>> received;
};

} // namespace

TEST_CASE("a guest that writes too fast is slowed until it can move", "[migration][convergence]") {
    Convergence moving;
    moving.writes = [&] { return moving.source.throttle_percent < 40 ? kWrittenPages : 0; };
    const auto sent = moving.migrate();
    REQUIRE(sent.ok());
    REQUIRE(moving.destination.runs());
    // In the first three rounds nothing is done yet; then 20, 30 and 40 percent.
    std::vector<std::uint32_t> throttles;
    for (const RoundReport& round : moving.seen.rounds)
        throttles.push_back(round.throttle);
    REQUIRE(throttles == std::vector<std::uint32_t>{0, 0, 0, 20, 30, 40});
    REQUIRE(moving.seen.decisions[2].declared);
    REQUIRE_FALSE(sent->over_limit);
    REQUIRE(sent->expected_downtime <= sent->downtime_limit);
    REQUIRE_FALSE(moving.destination.called("throttle"));
}

TEST_CASE("a guest that cannot be slowed enough stays, and runs at full speed", "[migration][convergence]") {
    Convergence moving;
    moving.set([](Parameters& p) { p.throttle_maximum = 35; });
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::NotConverging);
    REQUIRE_THAT(sent.error().text, Catch::StartsWith("not converging: after 7 rounds ") &&
                                        Catch::EndsWith("it is slowed by 35 % already"));
    REQUIRE(moving.progress.snapshot().status == MigrationStatus::Failed);
    REQUIRE(moving.seen.last.rounds.size() == 7);
}

TEST_CASE("a stall leaves the guest where it is when that is asked for", "[migration][convergence]") {
    Convergence moving;
    moving.set([](Parameters& p) { p.on_stall = OnStall::Cancel; });
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::NotConverging);
    REQUIRE_THAT(sent.error().text, Catch::StartsWith("not converging: after 3 rounds "));
    REQUIRE(moving.progress.snapshot().stalled);
    REQUIRE_FALSE(moving.source.called("throttle"));
    REQUIRE_FALSE(moving.source.called("pause"));
}

TEST_CASE("a stall is switched over when that is asked for, and the report says so",
          "[migration][convergence]") {
    Convergence moving;
    moving.set([](Parameters& p) { p.on_stall = OnStall::Switch; });
    const auto sent = moving.migrate();
    REQUIRE(sent.ok());
    REQUIRE(sent->rounds.size() == 3);
    REQUIRE(sent->over_limit);
    REQUIRE(sent->stalled);
    REQUIRE(sent->downtime_limit == 31ms);
    REQUIRE(sent->expected_downtime > sent->downtime_limit);
    REQUIRE(same_ram(moving.source, moving.destination));
}

TEST_CASE("a raised limit lets a stalled migration through", "[migration][convergence]") {
    Convergence moving;
    moving.seen.on_round = [&](std::uint32_t number) {
        if (number == 4)
            moving.set([](Parameters& p) { p.downtime_limit = 10s; });
    };
    const auto sent = moving.migrate();
    REQUIRE(sent.ok());
    REQUIRE(sent->rounds.size() == 5);
    REQUIRE(sent->downtime_limit == 10s);
}

TEST_CASE("a migration ends when its time is up, with that as the reason at both ends",
          "[migration][convergence]") {
    Convergence moving;
    std::uint64_t more = 200;
    moving.writes = [&] { return more = more * 17 / 20; }; // progress, but slow
    moving.set([](Parameters& p) { p.downtime_limit = 0ms; });
    // Given while it runs. The time has passed when the next round begins to be sent.
    moving.seen.on_round = [&](std::uint32_t number) {
        if (number == 2) {
            moving.set([](Parameters& p) { p.timeout = 1s; });
            while (!moving.cancel->requested())
                std::this_thread::sleep_for(1ms);
        }
    };
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::Cancelled);
    REQUIRE(sent.error().text == "the migration was not done within its time limit of 1 s");
    REQUIRE(moving.progress.snapshot().status == MigrationStatus::Cancelled);
}

TEST_CASE("a time limit that is taken back does nothing", "[convergence]") {
    LiveParameters parameters;
    auto set = [&](std::chrono::seconds timeout) {
        Parameters now;
        now.timeout = timeout;
        parameters.set(now);
    };
    const auto cancel = std::move(Cancel::create()).value();
    {
        set(3600s);
        const TimeLimit limit{parameters, *cancel};
        set(0s);
        set(7200s);
    }
    REQUIRE_FALSE(cancel->requested());
    REQUIRE(cancel->error().text.empty());
}

TEST_CASE("a slow disk holds the migration up, not the peer, and the guest is not paused for it",
          "[migration][disks]") {
    Convergence moving;
    moving.writes = [] { return 0; };
    int calls = 0;
    moving.source.on_write_back = [&](std::chrono::milliseconds) -> Result<WriteBackState> {
        REQUIRE_FALSE(moving.source.called("pause"));
        return WriteBackState{.under_way = ++calls < 10, .took = 1ms};
    };
    moving.source.on_pause = [&] { moving.source.on_write_back = nullptr; };
    bool told = false;
    moving.seen.on_round = [&](std::uint32_t) { told = told || moving.progress.snapshot().writing_back; };
    const auto sent = moving.migrate();
    REQUIRE(sent.ok());
    REQUIRE(told);
    REQUIRE_FALSE(sent->stalled);
    REQUIRE(sent->rounds.size() == 9); // the first call is before them, and the last round has two
    REQUIRE(moving.destination.runs());
}

TEST_CASE("what is left for a disk when the guest is paused is waited for, and the peer hears of it",
          "[migration][disks]") {
    Convergence moving;
    moving.writes = [] { return 0; };
    int waits = 0;
    moving.source.on_pause = [&] {
        moving.source.on_write_back = [&](std::chrono::milliseconds) -> Result<WriteBackState> {
            REQUIRE(moving.source.owns_disk());
            return WriteBackState{.under_way = ++waits < 5, .took = 1ms};
        };
    };
    const auto sent = moving.migrate();
    REQUIRE(sent.ok());
    REQUIRE(waits == 5);
    REQUIRE(sent->rounds.size() == 1 + 4); // one of nothing for each wait
}

TEST_CASE("what a disk has lost ends the migration before the handover", "[migration][disks]") {
    const bool when_paused = GENERATE(false, true);
    Convergence moving;
    moving.writes = [] { return 0; };
    const auto lost = [](std::chrono::milliseconds) -> Result<WriteBackState> {
        return error(ErrorCode::System, "disk 'd': lost");
    };
    if (when_paused)
        moving.source.on_pause = [&] { moving.source.on_write_back = lost; };
    else
        moving.source.on_write_back = lost;
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::System);
    REQUIRE_THAT(sent.error().text, Catch::Contains("disk 'd': lost"));
}

TEST_CASE("a cancel does not wait for a disk", "[migration][disks]") {
    const bool when_paused = GENERATE(false, true);
    Convergence moving;
    moving.writes = [] { return 0; };
    int calls = 0;
    const auto never = [&](std::chrono::milliseconds) -> Result<WriteBackState> {
        if (++calls == 3)
            moving.cancel->request("enough");
        return WriteBackState{.under_way = true};
    };
    if (when_paused)
        moving.source.on_pause = [&] { moving.source.on_write_back = never; };
    else
        moving.source.on_write_back = never;
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::Cancelled);
    REQUIRE(calls <= 4);
}

TEST_CASE("a throttle that cannot be set ends the migration and harms nobody", "[migration][convergence]") {
    Convergence moving;
    moving.source.fails = "throttle";
    const auto sent = moving.migrate();
    moving.check_stayed(sent, ErrorCode::System);
    REQUIRE(sent.error().text == "slow the guest: throttle fails");
}

} // namespace convergence_test
