// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/listener.h"
#include "migration/check.h"
#include "migration/destination.h"
#include "migration/protocol/session.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace migration_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;
using Action = TestChannel::Action;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{2} << 20;

struct Outcome {
    Result<Report> source;
    Result<Report> destination;
};

struct Machines {
    explicit Machines(RunState state, std::uint64_t ram = kRam)
        : source(world, ram), destination(world, ram) {
        source.boot(state);
    }

    Outcome migrate_over(Channel& here, Channel& there) {
        auto receiving = std::async(std::launch::async, [&] {
            DestinationOptions options;
            options.timeout = destination_timeout.value_or(timeout);
            return receive(destination, there, options, destination_progress, destination_cancel);
        });
        SourceOptions options;
        options.timeout = timeout;
        parameters.set(wanted);
        options.parameters = &parameters;
        auto sent = migrate(source, here, options, source_progress, source_cancel);
        return {std::move(sent), receiving.get()};
    }
    Outcome migrate_over(const Link& link) { return migrate_over(*link.source, *link.destination); }

    void check_moved(const Outcome& outcome) {
        INFO((outcome.source.ok() ? "" : outcome.source.error().text));
        INFO((outcome.destination.ok() ? "" : outcome.destination.error().text));
        REQUIRE(outcome.source.ok());
        REQUIRE(outcome.destination.ok());
        REQUIRE(same_ram(source, destination));
        REQUIRE(same_boot_source(source.boot_with, destination.boot_with));
        REQUIRE(destination.device.state == source.device.state);
        REQUIRE(destination.timer.state == source.timer.state);
        REQUIRE_FALSE(source.runs());
        REQUIRE(destination.owns_disk());
        REQUIRE(source.called("handed_over"));
        REQUIRE_FALSE(source.called("resume"));
        REQUIRE_FALSE(world.ran_twice);
        REQUIRE(source_progress.snapshot().status == MigrationStatus::Completed);
        REQUIRE(destination_progress.snapshot().status == MigrationStatus::Completed);
    }

    // The guest is where it was, and can be moved again.
    void check_stayed(RunState state = RunState::Running) {
        REQUIRE(source.run_state() == state);
        REQUIRE(source.owns_disk());
        REQUIRE_FALSE(destination.runs());
        REQUIRE(destination.boot_with == nullptr);
        REQUIRE(source.boot_with != nullptr);
        REQUIRE_FALSE(source.called("handed_over"));
        REQUIRE_FALSE(world.ran_twice);
        REQUIRE(ram_is_zero(destination));
    }

    World world;
    TestPort source;
    TestPort destination;
    Progress source_progress;
    Progress destination_progress;
    const Cancel* source_cancel = nullptr;
    Cancel* destination_cancel = nullptr;
    std::chrono::milliseconds timeout = 10s;
    std::optional<std::chrono::milliseconds> destination_timeout;
    Parameters wanted;
    LiveParameters parameters;
};

} // namespace

TEST_CASE("a running guest moves and its memory is the same", "[migration]") {
    Machines machines{RunState::Running, std::uint64_t{64} << 20};
    const Outcome outcome = machines.migrate_over(connected());
    machines.check_moved(outcome);
    REQUIRE(machines.destination.runs());

    const Report& report = outcome.source.value();
    REQUIRE(report.state == RunState::Running);
    REQUIRE(!report.rounds.empty());
    REQUIRE(report.rounds[0].pages == machines.source.memory().page_count());
    REQUIRE(report.rounds[0].zero_pages > 0);
    REQUIRE(report.bytes > report.data_pages * kPageSize);
    REQUIRE(machines.destination.came_with == machines.source.own_notes);
    REQUIRE(report.save_trace.front() == "timer: save");
    REQUIRE(report.load_trace.front() == "timer: load");
    const Report& other = outcome.destination.value();
    REQUIRE(other.bytes == report.bytes);
    REQUIRE(other.data_pages == report.data_pages);
    REQUIRE(other.zero_pages == report.zero_pages);
    REQUIRE(other.save_trace == report.save_trace);
    REQUIRE(other.load_trace == report.load_trace);
    const auto progress = machines.source_progress.snapshot();
    REQUIRE(progress.normal == report.data_pages);
    REQUIRE(progress.duplicate == report.zero_pages);
    REQUIRE(progress.ram_total == machines.source.memory().size());
    REQUIRE(progress.dirty_sync_count == report.rounds.size());
    REQUIRE(progress.downtime.has_value());
}

TEST_CASE("over TCP, over and over, in both directions", "[migration]") {
    World world;
    TestPort ports[2]{{world, kRam}, {world, kRam}};
    ports[0].boot(RunState::Running);
    auto listener = std::move(Listener::open(*Address::parse("tcp:127.0.0.1:0"))).value();
    for (std::size_t i = 0; i < 6; ++i) {
        TestPort& from = ports[i % 2];
        TestPort& to = ports[(i + 1) % 2];
        REQUIRE(to.discard_incoming().ok()); // what the guest left behind
        from.writes_memory = true;
        auto receiving = std::async(std::launch::async, [&]() -> Result<Report> {
            Progress progress;
            const auto channel = TRY(listener.accept(10s, nullptr));
            return receive(to, *channel, {}, progress, nullptr);
        });
        auto channel = std::move(SocketChannel::connect(listener.address(), 10s, nullptr)).value();
        Progress progress;
        REQUIRE(migrate(from, *channel, {}, progress, nullptr).ok());
        REQUIRE(receiving.get().ok());
        REQUIRE(same_ram(from, to));
        REQUIRE(to.runs());
        REQUIRE_FALSE(from.runs());
    }
    REQUIRE_FALSE(world.ran_twice);
}

TEST_CASE("a guest that stands still stays so, for the same reason", "[migration]") {
    const auto state = GENERATE(RunState::Paused, RunState::IoError);
    Machines machines{state};
    const Outcome outcome = machines.migrate_over(connected());
    machines.check_moved(outcome);
    REQUIRE_FALSE(machines.destination.runs());
    REQUIRE(outcome.source.value().state == state);
    REQUIRE(outcome.destination.value().state == state);
    REQUIRE(machines.destination.run_state() == state);
}

TEST_CASE("machines that differ are told all differences, before any page", "[migration]") {
    Machines machines{RunState::Running};
    machines.destination.description.board = "other";
    machines.destination.description.cpus = 2;
    machines.source.description.memory_in_use = 2 * kRam;
    const Link link = connected();
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(outcome.source.error().code == ErrorCode::Incompatible);
    REQUIRE(outcome.destination.error().code == ErrorCode::Incompatible);
    const std::string expected =
        "machine: the source's board is 'test', 'other' here [machine.board]; "
        "cpus: 1 vCPUs at the source, 2 here [machine.cpu-count]; "
        "memory: the guest uses 4194304 bytes of RAM, 2097152 are available here [host.memory-short]";
    REQUIRE(outcome.destination.error().text == expected);
    REQUIRE(outcome.source.error().text == "destination: " + expected);
    REQUIRE_FALSE(machines.source.called("start_dirty_log"));
    REQUIRE(link.source->bytes_written() < 1024);
    REQUIRE(machines.source.runs());
    machines.destination.description = machines.source.description;
    machines.source.description.memory_in_use = 0;
    machines.check_moved(machines.migrate_over(connected()));
}

TEST_CASE("RAM of another size is a difference", "[migration]") {
    World world;
    TestPort source{world, kRam};
    TestPort destination{world, 2 * kRam};
    source.boot(RunState::Running);
    const Link link = connected();
    auto receiving = std::async(std::launch::async, [&] {
        Progress progress;
        return receive(destination, *link.destination, {}, progress, nullptr);
    });
    Progress progress;
    const auto outcome = migrate(source, *link.source, {}, progress, nullptr);
    REQUIRE(outcome.error().text ==
            "destination: memory: 2097152 bytes at the source, 4194304 here [machine.memory-size]");
    REQUIRE_FALSE(receiving.get().ok());
}

TEST_CASE("a check is answered, and changes nothing on either side", "[migration]") {
    Machines machines{RunState::Running};
    const bool fits = GENERATE(true, false);
    if (!fits)
        machines.destination.description.cpus = 2;
    const Link link = connected();
    auto receiving = std::async(std::launch::async, [&] {
        return receive(machines.destination, *link.destination, {}, machines.destination_progress, nullptr);
    });
    const auto answer = check(machines.source, *link.source, 5s, nullptr);
    const auto report = receiving.get();
    REQUIRE(answer.ok());
    REQUIRE(report.ok());
    REQUIRE(report.value().check == answer.value());
    REQUIRE(answer.value().empty() == fits);
    if (!fits)
        REQUIRE(answer.value() ==
                Differences{{"machine.cpu-count", "cpus", "1 vCPUs at the source, 2 here"}});
    REQUIRE(machines.source.calls().empty());
    REQUIRE(machines.destination.calls().empty()); // not even prepare_for()
    REQUIRE(machines.destination_progress.snapshot().status == MigrationStatus::None);
    machines.destination.description = machines.source.description;
    machines.check_moved(machines.migrate_over(connected()));
}

TEST_CASE("a destination that speaks another version refuses with a code", "[migration]") {
    Machines machines{RunState::Running};
    const Link link = connected();
    auto receiving = std::async(std::launch::async, [&] {
        return receive(machines.destination, *link.destination, {}, machines.destination_progress, nullptr);
    });
    SourceSession session{*link.source};
    Hello hello{kProtocolVersion + 7, 0, {}, Purpose::Check, {}};
    REQUIRE(session.send(Message::Hello, encode(hello)).ok());
    REQUIRE(session.expect(Message::CheckReport).error().code == ErrorCode::Incompatible);
    REQUIRE(session.refusal().size() == 1);
    REQUIRE(session.refusal()[0].code == "version.protocol");
    link.source->close();
    REQUIRE(receiving.get().error().code == ErrorCode::Incompatible);
}

TEST_CASE("whoever goes away at whatever moment, one side has the guest", "[migration]") {
    const bool source_goes = GENERATE(true, false);
    const auto state = GENERATE(RunState::Running, RunState::Paused);
    bool complete = false;
    for (std::size_t call = 0; !complete; ++call) {
        CAPTURE(source_goes, call);
        REQUIRE(call < 200);
        Machines machines{state};
        const Link link = connected();
        TestChannel& breaks = source_goes ? *link.source : *link.destination;
        breaks.on_call = [&](std::size_t now) { return now == call ? Action::Close : Action::Pass; };
        const Outcome outcome = machines.migrate_over(link);
        complete = breaks.calls() <= call;
        REQUIRE_FALSE(machines.world.ran_twice);
        if (outcome.source.ok()) {
            machines.check_moved(outcome);
        } else if (outcome.source.error().code == ErrorCode::InDoubt) {
            // It is paused here for good; the other side has it or let it go.
            REQUIRE_FALSE(machines.source.called("resume"));
            REQUIRE_FALSE(machines.source.called("reclaim_resources"));
            REQUIRE_FALSE(machines.source.runs());
            REQUIRE(outcome.destination.ok() == machines.destination.called("take_over"));
        } else {
            REQUIRE_FALSE(outcome.destination.ok());
            machines.check_stayed(state);
            machines.check_stayed(state);
            const Outcome second = machines.migrate_over(connected());
            REQUIRE(second.source.ok());
            REQUIRE(same_ram(machines.source, machines.destination));
            REQUIRE(machines.destination.run_state() == state);
        }
    }
}

TEST_CASE("a COMMIT that is lost with the connection leaves nobody running", "[migration]") {
    Machines machines{RunState::Running};
    const Link link = connected();
    link.source->on_frame = [&](Message type, Bytes&) {
        if (type != Message::Commit)
            return Action::Pass;
        link.source->close();
        return Action::Swallow;
    };
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(outcome.source.error().code == ErrorCode::InDoubt);
    REQUIRE(outcome.destination.error().code == ErrorCode::Disconnected);
    REQUIRE_FALSE(machines.source.runs());
    REQUIRE_FALSE(machines.source.called("resume"));
    REQUIRE_FALSE(machines.destination.called("take_over"));
    REQUIRE(machines.source_progress.snapshot().status == MigrationStatus::InDoubt);
}

TEST_CASE("a destination that waits for COMMIT in vain says so, and the guest goes on", "[migration]") {
    Machines machines{RunState::Running};
    machines.destination_timeout = 100ms;
    const Link link = connected();
    link.source->on_frame = [](Message type, Bytes&) {
        return type == Message::Commit ? Action::Swallow : Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(outcome.source.error().code == ErrorCode::Disconnected);
    REQUIRE(outcome.source.error().text == "destination: the sender made no progress for 100 ms");
    REQUIRE(outcome.destination.error().code == ErrorCode::Disconnected);
    machines.check_stayed();
}

TEST_CASE("a RUNNING that is lost does not wake the source", "[migration]") {
    Machines machines{RunState::Running};
    machines.timeout = 300ms;
    const Link link = connected();
    link.destination->on_frame = [](Message type, Bytes&) {
        return type == Message::Running ? Action::Swallow : Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(outcome.source.error().code == ErrorCode::InDoubt);
    REQUIRE(outcome.destination.ok());
    REQUIRE(machines.destination.runs());
    REQUIRE_FALSE(machines.source.called("resume"));
    REQUIRE_FALSE(machines.world.ran_twice);
}

TEST_CASE("a destination that cannot run the guest gives it back after COMMIT", "[migration]") {
    Machines machines{RunState::Running};
    machines.destination.fails = "take_over";
    const Outcome outcome = machines.migrate_over(connected());
    REQUIRE(outcome.source.error().text == "destination: take over the guest: take_over fails");
    REQUIRE(outcome.source.error().code == ErrorCode::System);
    machines.check_stayed();
}

TEST_CASE("whatever fails on either side, both know why and the guest goes on", "[migration]") {
    struct Row {
        bool at_source;
        std::string call;
        std::string context;
    };
    const auto row = GENERATE(values<Row>({{true, "start_dirty_log", "start the dirty log"},
                                           {true, "pause", "pause the guest"},
                                           {true, "release_resources", "release the disks"},
                                           {false, "apply_incoming", "apply the device state"}}));
    CAPTURE(row.call);
    Machines machines{RunState::Running};
    (row.at_source ? machines.source : machines.destination).fails = row.call;
    const Outcome outcome = machines.migrate_over(connected());
    const std::string own = fmt::format("{}: {} fails", row.context, row.call);
    const std::string told = (row.at_source ? "source: " : "destination: ") + own;
    REQUIRE(outcome.source.error().text == (row.at_source ? own : told));
    REQUIRE(outcome.destination.error().text == (row.at_source ? told : own));
    REQUIRE(outcome.source.error().code == ErrorCode::System);
    REQUIRE(outcome.destination.error().code == ErrorCode::System);
    machines.check_stayed();
    machines.source.fails.clear();
    machines.destination.fails.clear();
    const Outcome second = machines.migrate_over(connected());
    REQUIRE(second.source.ok());
}

TEST_CASE("a disk that cannot be taken back keeps the guest paused", "[migration]") {
    Machines machines{RunState::Running};
    machines.destination.fails = "apply_incoming";
    machines.source.fails = "reclaim_resources";
    const Link link = connected();
    auto receiving = std::async(std::launch::async, [&] {
        return receive(machines.destination, *link.destination, {}, machines.destination_progress, nullptr);
    });
    SourceOptions options;
    options.reclaim_timeout = 20ms;
    const auto outcome = migrate(machines.source, *link.source, options, machines.source_progress, nullptr);
    REQUIRE_FALSE(receiving.get().ok());
    REQUIRE(outcome.error().text ==
            "destination: apply the device state: apply_incoming fails; the guest stays "
            "paused here: reclaim_resources fails");
    REQUIRE_FALSE(machines.source.runs());
}

TEST_CASE("a page that the guest writes to while it travels comes again", "[migration]") {
    Machines machines{RunState::Running};
    machines.source.writes_memory = false;
    const Link link = connected();
    bool once = false;
    link.source->on_frame = [&](Message type, Bytes& frame) {
        if (type == Message::Ram && !once) {
            once = true;
            // Between checksum and send; page 0 is in the first frame.
            machines.source.write_page(0, 0xabcd);
            std::memcpy(frame.data() + frame.size() - load_le<std::uint32_t>(std::span{frame}.subspan(16)),
                        machines.source.memory().host(RamOffset{0}), kPageSize);
        }
        return Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    machines.check_moved(outcome);
    REQUIRE(outcome.destination.value().repaired_pages == 1);
}

TEST_CASE("damage to a page on its way is found before the guest is handed over", "[migration]") {
    const bool in_last_round = GENERATE(false, true);
    Machines machines{RunState::Running};
    machines.source.writes_memory = false;
    machines.source.on_pause = [&] { machines.source.write_page(3, 0x5555); };
    const Link link = connected();
    bool last_round = false;
    bool once = false;
    link.source->on_frame = [&](Message type, Bytes& frame) {
        last_round |= type == Message::FinalRound;
        if (type == Message::Ram && last_round == in_last_round && !once) {
            once = true;
            frame.back() ^= std::byte{0x10};
        }
        return Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(once);
    REQUIRE(outcome.source.error().code == ErrorCode::Corrupt);
    REQUIRE(outcome.destination.error().code == ErrorCode::Corrupt);
    if (in_last_round)
        REQUIRE(outcome.destination.error().text ==
                "the checksum of the page at ram:0x3000 does not hold, and the guest was paused");
    else
        REQUIRE(outcome.destination.error().text.starts_with(
            "1 pages were damaged on their way, the first at ram:"));
    machines.check_stayed();
}

TEST_CASE("damage to any other frame is found at once", "[migration]") {
    const Message type =
        GENERATE(Message::Hello, Message::HelloReply, Message::RamZero, Message::RoundEnd, Message::RoundAck,
                 Message::FinalRound, Message::State, Message::Ready, Message::Commit);
    const std::size_t at = GENERATE(5U, 13U, 33U);
    CAPTURE(to_string(type), at);
    Machines machines{RunState::Running};
    machines.timeout = 2s;
    const Link link = connected();
    const auto damage = [&](Message sent, Bytes& frame) {
        if (sent == type)
            frame[at] ^= std::byte{1};
        return Action::Pass;
    };
    link.source->on_frame = damage;
    link.destination->on_frame = damage;
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE_FALSE(outcome.source.ok());
    REQUIRE_FALSE(outcome.destination.ok());
    REQUIRE((outcome.source.error().code == ErrorCode::Corrupt));
    machines.check_stayed();
}

TEST_CASE("a damaged RUNNING leaves the source in doubt", "[migration]") {
    Machines machines{RunState::Running};
    const Link link = connected();
    link.destination->on_frame = [&](Message sent, Bytes& frame) {
        if (sent == Message::Running)
            frame[33] ^= std::byte{1};
        return Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    REQUIRE(outcome.source.error().code == ErrorCode::InDoubt);
    REQUIRE(outcome.destination.ok());
    REQUIRE_FALSE(machines.source.called("resume"));
}

TEST_CASE("a cancel on either side ends the attempt, and both know", "[migration]") {
    const bool at_source = GENERATE(true, false);
    auto cancel = std::move(Cancel::create()).value();
    Machines machines{RunState::Running};
    if (at_source)
        machines.source_cancel = cancel.get();
    else
        machines.destination_cancel = cancel.get();
    const Link link = connected();
    link.source->on_frame = [&](Message type, Bytes&) {
        if (type == Message::State)
            cancel->request();
        return Action::Pass;
    };
    const Outcome outcome = machines.migrate_over(link);
    // The one that was cancelled may just be in the middle of a frame; then the other sees it vanish.
    REQUIRE((at_source ? outcome.source : outcome.destination).error().code == ErrorCode::Cancelled);
    REQUIRE_FALSE((at_source ? outcome.destination : outcome.source).ok());
    machines.source_cancel = nullptr;
    machines.destination_cancel = nullptr;
    machines.check_stayed();
    REQUIRE(machines.migrate_over(connected()).source.ok());
}

} // namespace migration_test
