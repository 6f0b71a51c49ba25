// SPDX-License-Identifier: Apache-2.0
#include "migration/source.h"

#include "migration/ram/sender.h"
#include "migration/source_attempt.h"
#include "migration/stopwatch.h"
#include "migration/wire/save_load.h"

#include <cerrno>
#include <sys/random.h>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How long telling the peer why we give up may take. A guest that is paused waits for it.
constexpr auto kTellLimit = 500ms;
constexpr auto kTellLimitPaused = 30ms;

// The phases, in order. Each step consumes a phase and gives the next one: COMMIT cannot come before READY.

struct Committed {
    SourceAttempt& attempt;
    MigrationId id;
    Stopwatch downtime;

    Result<Report> finish() &&;
};

struct Prepared {
    SourceAttempt& attempt;
    MigrationId id;
    Stopwatch downtime;

    Result<Committed> commit() &&;
};

struct Paused {
    SourceAttempt& attempt;
    MigrationId id;
    PageBitmap pending;
    RamSender sender;
    Stopwatch downtime;

    Status final_round();
    Result<Prepared> hand_over_state() &&;
};

struct Precopy {
    SourceAttempt& attempt;
    MigrationId id;
    PageBitmap pending;
    RamSender sender;
    Policy policy;

    Status round();
    // True when the guest should be paused now.
    Result<bool> decide(const RoundCount& count, std::uint64_t bytes, Duration duration, Stopwatch& dirty);
    Status rounds();
    Result<Paused> pause() &&;
};

Result<MigrationId> new_id() {
    MigrationId id;
    if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size()))
        return system_error(errno, "get random bytes");
    return id;
}

Result<Precopy> greet(SourceAttempt& attempt) {
    Stopwatch setup;
    MachinePort& port = attempt.port();
    Hello hello{kProtocolVersion, 0, TRY(new_id()), port.memory().size(), port.facts()};
    TRY(attempt.session().send(Message::Hello, encode(hello)));
    const Bytes reply = TRY(attempt.session().expect(Message::HelloReply));
    const Hello theirs = TRY(decode_hello(reply));
    // The destination has compared; that it could have missed something costs nothing to check.
    if (const auto found = differences(hello, theirs); !found.empty())
        return error(ErrorCode::Incompatible, "the machines differ: {}", fmt::join(found, "; "));
    TRY_IN(attempt.start_dirty_log(), "start the dirty log");
    attempt.report().setup = setup.total();
    attempt.progress().set_status(MigrationStatus::Active);

    PageBitmap pending{port.memory().page_count()};
    pending.set_all();
    return Precopy{attempt, hello.id, std::move(pending),
                   RamSender{port.memory(), attempt.session(), attempt.progress()},
                   Policy{attempt.options().policy}};
}

Status Precopy::rounds() {
    Stopwatch dirty; // since the pages last counted as clean
    for (std::uint32_t number = 1;; ++number) {
        Stopwatch round;
        const std::uint64_t before = attempt.session().channel().bytes_written();
        const RoundCount count = TRY(sender.send(pending));
        TRY(attempt.session().send(Message::RoundEnd, encode(Round{number, count.pages()})));
        // Waiting until all of it is in place keeps the last round from queueing behind this one, and makes
        // the measured rate the true one.
        const Bytes body = TRY(attempt.session().expect(Message::RoundAck));
        const Round acknowledged = TRY(decode_round(body));
        if (acknowledged != Round{number, count.pages()})
            return error(ErrorCode::Protocol, "round {} of {} pages was acknowledged as {} of {}", number,
                         count.pages(), acknowledged.number, acknowledged.pages);
        const std::uint64_t bytes = attempt.session().channel().bytes_written() - before;
        if (TRY(decide(count, bytes, round.total(), dirty)))
            return {};
    }
}

Result<bool> Precopy::decide(const RoundCount& count, std::uint64_t bytes, Duration duration,
                             Stopwatch& dirty) {
    pending.clear_all();
    TRY_IN(attempt.port().harvest_dirty(pending.words()), "read the dirty log");
    pending.drop_excess();
    const std::uint64_t dirty_pages = pending.count();
    const Decision decision = policy.after_round({bytes, duration, dirty_pages, dirty.lap()});

    RoundReport report;
    report.number = static_cast<std::uint32_t>(attempt.report().rounds.size() + 1);
    report.pages = count.pages();
    report.zero_pages = count.zero_pages;
    report.bytes = bytes;
    report.duration = duration;
    report.bytes_per_second = decision.bytes_per_second;
    report.dirty_pages = dirty_pages;
    report.dirty_pages_per_second = decision.dirty_pages_per_second;
    report.expected_downtime = decision.expected_downtime;
    attempt.report().rounds.push_back(report);
    attempt.report().stalled = decision.stalled;
    attempt.progress().update([&](ProgressSnapshot& now) {
        now.ram_remaining = dirty_pages * kPageSize;
        now.dirty_sync_count = report.number;
        now.dirty_pages_rate = static_cast<std::uint64_t>(decision.dirty_pages_per_second);
        now.mbps = decision.bytes_per_second * 8 / 1e6;
        now.expected_downtime =
            std::chrono::duration_cast<std::chrono::milliseconds>(decision.expected_downtime);
    });
    if (decision.verdict != Verdict::GiveUp)
        return decision.verdict == Verdict::SwitchOver;
    return error(
        ErrorCode::NotConverging,
        "not converging: after {} rounds pausing the guest would take {} ms, the limit is {} ms (the guest "
        "writes {:.0f} MB/s, the channel moves {:.0f} MB/s)",
        report.number, decision.expected_downtime.count() / 1000,
        attempt.options().policy.downtime_limit.count() / 1000,
        decision.dirty_pages_per_second * kPageSize / 1e6, decision.bytes_per_second / 1e6);
}

Result<Paused> Precopy::pause() && {
    attempt.progress().set_status(MigrationStatus::Device);
    Stopwatch downtime;
    TRY_IN(attempt.pause(), "pause the guest");
    attempt.report().pause = downtime.total();
    attempt.report().state = attempt.state_before();
    TRY_IN(attempt.port().harvest_dirty(pending.words()), "read the dirty log");
    pending.drop_excess();
    return Paused{attempt, id, std::move(pending), std::move(sender), downtime};
}

Status Paused::final_round() {
    Stopwatch round;
    SourceSession& session = attempt.session();
    const std::uint64_t before = session.channel().bytes_written();
    const auto number = static_cast<std::uint32_t>(attempt.report().rounds.size() + 1);
    TRY(session.send(Message::FinalRound, encode(Round{number, pending.count()})));
    const RoundCount count = TRY(sender.send(pending));
    TRY(session.send(Message::RoundEnd, encode(Round{number, count.pages()})));
    RoundReport& report = attempt.report().final_round;
    report.number = number;
    report.pages = count.pages();
    report.zero_pages = count.zero_pages;
    report.bytes = session.channel().bytes_written() - before;
    report.duration = round.total();
    return {};
}

Result<Prepared> Paused::hand_over_state() && {
    TRY(final_round());
    Stopwatch watch;
    Report& report = attempt.report();
    OrderTrace trace;
    const auto sections = attempt.port().sections();
    // The description is for people and files; here it would only cost downtime.
    const Bytes stream =
        TRY_IN(wire::save_state(sections, attempt.state_before(), trace, wire::Description::Leave),
               "save the device state");
    report.save = watch.lap();
    report.save_trace = trace.steps();
    report.state_bytes = stream.size();
    TRY_IN(attempt.release_resources(), "release the disks");
    TRY(attempt.session().send(Message::State, encode(StateBody{trace.steps(), stream})));
    report.send = watch.lap();
    const Bytes body = TRY(attempt.session().expect(Message::Ready));
    Ready ready = TRY(decode_ready(body));
    report.ready = watch.lap();
    report.load = ready.load;
    report.apply = ready.apply;
    report.load_trace = std::move(ready.trace);
    return Prepared{attempt, id, downtime};
}

Result<Committed> Prepared::commit() && {
    SourceSession& session = attempt.session();
    TRY(session.check_peer()); // the last moment at which a cancel or a peer that gave up is harmless
    session.channel().set_cancel(nullptr);
    attempt.give_away();
    auto sent = session.send(Message::Commit, encode(Commit{id, attempt.state_before()}));
    if (!sent.ok()) {
        // The kernel did not take the whole frame, and the rest will never follow: nobody can have read it.
        attempt.take_back();
        return std::move(sent).error();
    }
    return Committed{attempt, id, downtime};
}

Result<Report> Committed::finish() && {
    Stopwatch watch;
    auto answer = attempt.session().expect(Message::Running);
    if (attempt.session().state() == SourceState::Returned) {
        attempt.take_back();
        return std::move(answer).error();
    }
    if (!answer.ok())
        return error(
            ErrorCode::InDoubt,
            "the guest was handed over and the destination did not say that it runs ({}); the guest stays "
            "paused here",
            answer.error().text);
    const auto running = decode_running(answer.value());
    if (!running.ok() || running.value().id != id)
        return error(ErrorCode::InDoubt,
                     "the guest was handed over and the answer cannot be read; the guest stays "
                     "paused here");
    Report& report = attempt.report();
    report.commit_to_running = watch.total();
    report.take_over = running.value().take_over;
    report.downtime = downtime.total();
    report.fixed_cost = std::max(Duration{0}, report.downtime - report.final_round.duration);
    attempt.port().handed_over();
    attempt.finish();
    return std::move(report);
}

Result<Report> run(SourceAttempt& attempt) {
    Precopy precopy = TRY(greet(attempt));
    TRY(precopy.rounds());
    Paused paused = TRY(std::move(precopy).pause());
    Prepared prepared = TRY(std::move(paused).hand_over_state());
    Committed committed = TRY(std::move(prepared).commit());
    return std::move(committed).finish();
}

MigrationStatus status_of(const Error& error) {
    if (error.code == ErrorCode::InDoubt)
        return MigrationStatus::InDoubt;
    return error.code == ErrorCode::Cancelled ? MigrationStatus::Cancelled : MigrationStatus::Failed;
}

} // namespace

Result<Report> migrate(MachinePort& port, Channel& channel, const SourceOptions& options, Progress& progress,
                       const Cancel* cancel) {
    Stopwatch total;
    progress.begin(port.memory().size());
    channel.set_timeout(options.timeout);
    channel.set_cancel(cancel);
    SourceAttempt attempt{port, channel, options, progress};
    auto outcome = run(attempt);
    if (outcome.ok()) {
        channel.close();
        Report& report = outcome.value();
        report.total = total.total();
        report.bytes = channel.bytes_written();
        for (const RoundReport& round : report.rounds) {
            report.zero_pages += round.zero_pages;
            report.data_pages += round.pages - round.zero_pages;
        }
        report.zero_pages += report.final_round.zero_pages;
        report.data_pages += report.final_round.pages - report.final_round.zero_pages;
        progress.update([&](ProgressSnapshot& now) {
            now.downtime = std::chrono::duration_cast<std::chrono::milliseconds>(report.downtime);
        });
        progress.finish(MigrationStatus::Completed, std::nullopt);
        return outcome;
    }

    Error reason = std::move(outcome).error();
    if (attempt.given_away()) {
        channel.close();
    } else {
        // First the destination lets go of the disks, then the guest gets them back.
        attempt.session().tell(reason, attempt.is_paused() ? kTellLimitPaused : kTellLimit);
        if (const auto undone = attempt.roll_back(); !undone.ok())
            reason.text += fmt::format("; the guest stays paused here: {}", undone.error().text);
        attempt.session().farewell();
    }
    progress.finish(status_of(reason), reason);
    return reason;
}

} // namespace godwit::migration
