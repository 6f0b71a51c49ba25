// SPDX-License-Identifier: Apache-2.0
//
// The phases in which the guest is paused: last round, device state, COMMIT and what comes after it.
#include "migration/source_phases.h"
#include "migration/wire/save_load.h"

namespace godwit::migration {

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

} // namespace godwit::migration
