// SPDX-License-Identifier: Apache-2.0
//
// A source that does not know the outcome: it asks a real receiver, or an operator decides.
#include "migration/arrivals.h"
#include "migration/destination.h"
#include "migration/doubt.h"
#include "migration/query.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace doubt_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;
using Action = TestChannel::Action;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{1} << 20;

// A receiver with its door, as a process has it; its end is that of the process.
class Receiver {
  public:
    Receiver(TestPort& port, const Address& address) : port_(port) {
        reception_ = std::move(Reception::open(address)).value();
        reception_->route(Message::Hello, [this](Connection c) { (void)arrivals_.offer(c, 10s); });
        reception_->route(Message::Query, [this](Connection c) { answer_query(std::move(c), ledger_); });
        reception_->start();
        receiving_ = std::async(std::launch::async, [this]() -> Result<Report> {
            auto connection = TRY(arrivals_.wait());
            DestinationOptions options;
            options.ledger = &ledger_;
            return receive(port_, std::move(connection), options, progress_, cancel_.get());
        });
    }
    ~Receiver() {
        arrivals_.close(error(ErrorCode::Cancelled, "the test ends"));
        cancel_->request();
        if (receiving_.valid())
            receiving_.wait();
        ledger_.close();
    }
    const Address& address() const { return reception_->address(); }
    Result<Report> outcome() { return receiving_.get(); }

  private:
    TestPort& port_;
    Ledger ledger_;
    Arrivals arrivals_;
    Progress progress_;
    std::unique_ptr<Cancel> cancel_ = std::move(Cancel::create()).value();
    std::unique_ptr<Reception> reception_;
    std::future<Result<Report>> receiving_;
};

struct Machines {
    Machines() { source.boot(RunState::Running); }

    // The source's COMMIT, or what else `on_frame` does.
    std::future<Result<Report>> start(const Address& address) {
        connector.address = address;
        return std::async(std::launch::async, [this]() -> Result<Report> {
            TestChannel channel{TRY(connector.connect(nullptr))};
            channel.on_frame = [&](Message type, Bytes&) {
                if (type != Message::Commit)
                    return Action::Pass;
                return at_commit(channel);
            };
            SourceOptions options;
            options.connector = &connector;
            options.doubt = &doubt;
            options.parameters = &parameters;
            options.reclaim_timeout = 10ms;
            return migrate(source, channel, options, progress, nullptr);
        });
    }
    void until_called() {
        while (!called)
            std::this_thread::yield();
    }
    void check_stayed(const Result<Report>& outcome) {
        REQUIRE_FALSE(outcome.ok());
        REQUIRE(source.runs());
        REQUIRE(source.owns_disk());
        REQUIRE_FALSE(source.called("handed_over"));
        REQUIRE_FALSE(world.ran_twice);
    }
    void check_gone(const Result<Report>& outcome) {
        INFO((outcome.ok() ? "" : outcome.error().text));
        REQUIRE(outcome.ok());
        REQUIRE(source.called("handed_over"));
        REQUIRE_FALSE(source.called("resume"));
        REQUIRE_FALSE(world.ran_twice);
        REQUIRE(progress.snapshot().custody == Custody::Gone);
    }

    World world;
    TestPort source{world, kRam};
    TestPort destination{world, kRam};
    Progress progress;
    Connector connector;
    LiveParameters parameters{[] {
        Parameters asked;
        asked.doubt_timeout = 0s; // an operator is called at once
        return asked;
    }()};
    std::atomic<bool> called{false};
    Doubt doubt{[this](const Error& why) {
        REQUIRE(why.code == ErrorCode::InDoubt);
        called = true;
    }};
    std::function<Action(TestChannel&)> at_commit = [](TestChannel&) { return Action::Pass; };
};

const Address kAnywhere = *Address::parse("tcp:127.0.0.1:0");

// The whole frame is lost, and the connection with it.
Action lose_connection(TestChannel& channel) {
    channel.close();
    return Action::Swallow;
}

} // namespace

TEST_CASE("COMMIT is lost: the destination says so, and the guest goes on", "[doubt]") {
    Machines machines;
    Receiver receiver{machines.destination, kAnywhere};
    const bool with_connection = GENERATE(true, false);
    // The connection stays, and says nothing: the destination would wait for long.
    machines.at_commit = with_connection ? lose_connection : [](TestChannel&) { return Action::Swallow; };
    const auto outcome = machines.start(receiver.address()).get();
    const auto there = receiver.outcome();
    REQUIRE_FALSE(there.ok());
    machines.check_stayed(outcome);
    REQUIRE(outcome.error().code == ErrorCode::Disconnected);
    REQUIRE(outcome.error().text.starts_with("destination: "));
    REQUIRE(ram_is_zero(machines.destination));
    REQUIRE_FALSE(machines.doubt.exists());
    REQUIRE(machines.doubt.say(Doubt::Word::Resume).error().code == ErrorCode::InvalidInput);
    // And it can move again.
    Receiver second{machines.destination, kAnywhere};
    machines.at_commit = [](TestChannel&) { return Action::Pass; };
    REQUIRE(machines.start(second.address()).get().ok());
    REQUIRE(second.outcome().ok());
    REQUIRE(machines.source.called("handed_over"));
    REQUIRE_FALSE(machines.world.ran_twice);
    REQUIRE(same_ram(machines.source, machines.destination));
}

TEST_CASE("RUNNING is lost: the destination says so again", "[doubt]") {
    Machines machines;
    Receiver receiver{machines.destination, kAnywhere};
    machines.at_commit = [&](TestChannel& channel) {
        // What is read next is the answer.
        channel.on_call = [&](std::size_t) {
            while (!machines.destination.runs())
                std::this_thread::yield();
            return Action::Close;
        };
        return Action::Pass;
    };
    const auto outcome = machines.start(receiver.address()).get();
    REQUIRE(receiver.outcome().ok());
    machines.check_gone(outcome);
    REQUIRE(machines.destination.runs());
    REQUIRE(same_ram(machines.source, machines.destination));
}

TEST_CASE("nobody answers: an operator decides", "[doubt]") {
    Machines machines;
    auto receiver = std::make_optional<Receiver>(machines.destination, kAnywhere);
    machines.at_commit = [&](TestChannel& channel) {
        channel.close();
        receiver.reset(); // the process dies
        return Action::Swallow;
    };
    auto migrating = machines.start(receiver->address());
    machines.until_called();
    REQUIRE(machines.doubt.exists());
    REQUIRE_FALSE(machines.source.runs());
    REQUIRE(machines.progress.snapshot().status == MigrationStatus::InDoubt);
    REQUIRE(machines.doubt.say(Doubt::Word::Ask).error().code == ErrorCode::InDoubt);
    SECTION("resume") {
        REQUIRE(machines.doubt.say(Doubt::Word::Resume).value() == "the guest goes on here");
        machines.check_stayed(migrating.get());
    }
    SECTION("resume, while somebody else has the disk") {
        machines.world.disk_owner = &machines;
        const auto refused = machines.doubt.say(Doubt::Word::Resume);
        REQUIRE(refused.error().text == "the guest stays paused and in doubt: the disk is locked");
        REQUIRE_FALSE(machines.source.runs());
        machines.world.disk_owner = nullptr;
        REQUIRE(machines.doubt.say(Doubt::Word::Resume).ok());
        machines.check_stayed(migrating.get());
    }
    SECTION("discard") {
        REQUIRE(machines.doubt.say(Doubt::Word::Discard).ok());
        machines.check_gone(migrating.get());
    }
    SECTION("the process ends") {
        machines.doubt.abandon();
        REQUIRE(migrating.get().error().code == ErrorCode::InDoubt);
        REQUIRE_FALSE(machines.source.runs());
        REQUIRE_FALSE(machines.source.called("resume"));
    }
    REQUIRE_FALSE(machines.doubt.exists());
}

TEST_CASE("another receiver at the same address knows nothing, and the doubt stays", "[doubt]") {
    Machines machines;
    auto receiver = std::make_optional<Receiver>(machines.destination, kAnywhere);
    const Address address = receiver->address();
    TestPort other{machines.world, kRam};
    std::optional<Receiver> successor;
    machines.parameters.set({.doubt_timeout = 3600s}); // the answer is reason enough to call
    machines.at_commit = [&](TestChannel& channel) {
        channel.close();
        receiver.reset();
        successor.emplace(other, address);
        return Action::Swallow;
    };
    auto migrating = machines.start(address);
    machines.until_called();
    const auto text = machines.progress.snapshot().error->text;
    CAPTURE(text);
    REQUIRE(text.find("knows nothing of this migration") != std::string::npos);
    REQUIRE_FALSE(machines.source.runs());
    REQUIRE(machines.doubt.say(Doubt::Word::Discard).ok());
    machines.check_gone(migrating.get());
}

TEST_CASE("a guest whose disks cannot be had goes on when they can", "[doubt]") {
    Machines machines;
    Receiver receiver{machines.destination, kAnywhere};
    machines.destination.fails = "apply_incoming";
    machines.source.fails = "reclaim_resources";
    auto migrating = machines.start(receiver.address());
    machines.until_called();
    REQUIRE_FALSE(machines.source.runs());
    SECTION("by itself") {
        machines.source.fails.clear();
        machines.check_stayed(migrating.get());
    }
    SECTION("an operator asks in vain") {
        REQUIRE(machines.doubt.say(Doubt::Word::Resume).error().text ==
                "the guest stays paused: reclaim_resources fails");
        machines.source.fails.clear();
        machines.check_stayed(migrating.get());
    }
    SECTION("an operator knows that it runs elsewhere") {
        REQUIRE(machines.doubt.say(Doubt::Word::Discard).ok());
        REQUIRE_FALSE(migrating.get().ok());
        REQUIRE(machines.source.called("handed_over"));
        REQUIRE_FALSE(machines.source.called("resume"));
    }
}

} // namespace doubt_test
