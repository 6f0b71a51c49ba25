// SPDX-License-Identifier: Apache-2.0
#include "migration/source.h"

#include "migration/doubt.h"
#include "migration/source_phases.h"

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How long telling the peer why we give up may take. A guest that is paused waits for it.
constexpr auto kTellLimitRunning = 500ms;
constexpr auto kTellLimitPaused = 30ms;
// Who cancels waits too, and the peer may have been silent for long.
constexpr auto kTellLimitCancelled = 20ms;
constexpr auto kFarewellCancelled = 50ms;
constexpr auto kFarewell = 1s;
// A destination that was told lets go of the disks within this, and need not be asked.
constexpr auto kReclaimFirst = 50ms;

Result<Report> run(SourceAttempt& attempt) {
    Precopy precopy = TRY(greet(attempt));
    TRY(precopy.rounds());
    Paused paused = TRY(std::move(precopy).pause());
    TRY(paused.await_switchover());
    TRY(paused.write_back());
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
        report.bytes = attempt.bytes_written();
        for (const RoundReport& round : report.rounds) {
            report.zero_pages += round.zero_pages;
            report.data_pages += round.pages - round.zero_pages;
        }
        report.zero_pages += report.final_round.zero_pages;
        report.data_pages += report.final_round.pages - report.final_round.zero_pages;
        progress.update([&](ProgressSnapshot& now) {
            now.downtime = std::chrono::duration_cast<std::chrono::milliseconds>(report.downtime);
        });
        if (options.observer != nullptr)
            options.observer->ended(report, nullptr);
        progress.finish(MigrationStatus::Completed, std::nullopt);
        return outcome;
    }

    attempt.halt_links();
    Error reason = std::move(outcome).error();
    const auto tell_observer = [&] {
        attempt.report().total = total.total();
        if (options.observer != nullptr)
            options.observer->ended(attempt.report(), &reason);
    };
    if (attempt.custody() != Custody::Here) {
        channel.close();
        tell_observer();
        progress.finish(MigrationStatus::InDoubt, reason);
        return reason;
    }
    // First the destination lets go of the disks, then the guest gets them back.
    const bool cancelled = reason.code == ErrorCode::Cancelled;
    if (cancelled && cancel != nullptr && cancel->requested())
        reason.code = cancel->cause();
    attempt.session().tell(reason, cancelled             ? kTellLimitCancelled
                                   : attempt.is_paused() ? kTellLimitPaused
                                                         : kTellLimitRunning);
    // One that does not hear us hears a question on another connection, if it hears anything.
    if (options.doubt != nullptr && options.connector != nullptr && !attempt.reclaim(kReclaimFirst).ok())
        options.doubt->fence(attempt, *options.connector);
    if (const auto undone = attempt.roll_back(); !undone.ok()) {
        reason.text += fmt::format("; the guest stays paused here: {}", undone.error().text);
        attempt.session().farewell(cancelled ? kFarewellCancelled : kFarewell);
        if (options.doubt != nullptr)
            if (options.doubt->wait_for_disks(attempt, options.connector, reason).custody == Custody::Gone)
                port.handed_over();
    } else {
        attempt.session().farewell(cancelled ? kFarewellCancelled : kFarewell);
    }
    tell_observer();
    progress.finish(status_of(reason), reason);
    return reason;
}

} // namespace godwit::migration
