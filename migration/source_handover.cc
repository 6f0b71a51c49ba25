// SPDX-License-Identifier: Apache-2.0
//
// The phases in which the guest is paused: last round, device state, COMMIT and what comes after it.
#include "migration/doubt.h"
#include "migration/ram/ram_digest.h"
#include "migration/source_phases.h"
#include "migration/wire/save_load.h"

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// How long RUNNING is waited for before the destination is asked on another connection.
constexpr std::chrono::milliseconds kRunningLimit = 3s;

} // namespace

Status Paused::final_round() {
    Stopwatch round;
    SourceSession& session = attempt.session();
    const auto number = static_cast<std::uint32_t>(attempt.report().rounds.size() + 1);
    TRY(session.send(Message::FinalRound, encode(Round{number, pending.count()})));
    const RoundCount count = TRY(attempt.links().send_round(pending, number, RoundKind::Final));
    TRY(session.send(Message::RoundEnd, encode(Round{number, count.pages()})));
    RoundReport& report = attempt.report().final_round;
    report.number = number;
    report.pages = count.pages();
    report.zero_pages = count.zero_pages;
    report.bytes = count.bytes;
    report.duration = round.total();
    return {};
}

Status Paused::verify() {
    Stopwatch watch;
    SourceSession& session = attempt.session();
    const auto digests = TRY(digest_ram(attempt.port().memory(), session.channel().cancel()));
    for (std::size_t first = 0; first < digests.size(); first += kDigestsPerFrame) {
        const auto count = std::min<std::size_t>(kDigestsPerFrame, digests.size() - first);
        TRY(session.send(Message::Verify, encode_verify(first, std::span{digests}.subspan(first, count))));
    }
    attempt.report().verify = watch.total();
    return {};
}

Result<Prepared> Paused::hand_over_state() && {
    TRY(final_round());
    if (attempt.verifies())
        TRY_IN(verify(), "verify RAM");
    Stopwatch watch;
    Report& report = attempt.report();
    OrderTrace trace;
    const auto sections = attempt.port().sections();
    // The description of every field is for people and files; here it would only cost downtime.
    const Bytes stream = TRY_IN(wire::save_state(sections, attempt.state_before(), trace,
                                                 wire::Description::Notes, {{}, attempt.port().notes()}),
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
    // When this fails, the kernel did not take the whole frame and the rest will never follow: nobody can
    // have read it.
    TRY(session.send(Message::Commit, encode(Commit{id, attempt.state_before()})));
    attempt.step(CustodyStep::CommitSent);
    return Committed{attempt, id, downtime};
}

// What came on the connection of the migration.
Reply Committed::answer() {
    SourceSession& session = attempt.session();
    const SourceOptions& options = attempt.options();
    if (options.doubt != nullptr) // who can ask need not wait for long
        session.channel().set_timeout(std::min(options.timeout, kRunningLimit));
    auto body = session.expect(Message::Running);
    if (session.state() == SourceState::Returned)
        return {CustodyStep::Relinquish, {}, std::move(body).error()};
    if (!body.ok())
        return {.why = std::move(body).error()};
    const auto running = decode_running(*body);
    if (!running.ok())
        return {.why = running.error()};
    if (running->id != id)
        return {.why = error(ErrorCode::Protocol, "RUNNING is about another guest")};
    return {.says = CustodyStep::Running, .take_over = running->take_over};
}

Result<Report> Committed::finish() && {
    Stopwatch watch;
    const SourceOptions& options = attempt.options();
    Reply reply = answer();
    attempt.step(reply.says);
    if (attempt.custody() == Custody::InDoubt) {
        if (options.doubt == nullptr || options.connector == nullptr)
            return error(ErrorCode::InDoubt,
                         "the guest was handed over and the destination did not say that it runs ({}); the "
                         "guest stays paused here",
                         reply.why.text);
        attempt.session().channel().close();
        Doubt::End end = options.doubt->resolve(attempt, *options.connector, id, reply.why,
                                                {.ask_for = attempt.parameters().doubt_timeout});
        reply.take_over = end.take_over;
        reply.why = std::move(end.why);
    }
    if (attempt.custody() != Custody::Gone)
        return std::move(reply.why);
    Report& report = attempt.report();
    report.commit_to_running = watch.total();
    report.take_over = reply.take_over;
    report.downtime = downtime.total();
    report.fixed_cost = std::max(Duration{0}, report.downtime - report.final_round.duration);
    attempt.port().handed_over();
    attempt.finish();
    return std::move(report);
}

} // namespace godwit::migration
