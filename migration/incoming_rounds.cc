// SPDX-License-Identifier: Apache-2.0
#include "migration/incoming_rounds.h"

#include "migration/ram/ram_digest.h"

#include <algorithm>

namespace godwit::migration {

namespace {
// How many rounds there are is the source's choice; what is kept about them is bounded.
constexpr std::size_t kMaxRounds = 100'000;
} // namespace

Result<std::unique_ptr<IncomingRounds>> IncomingRounds::create(GuestMemory& memory,
                                                               DestinationSession& session,
                                                               Progress& progress, std::uint32_t connections,
                                                               Compression compression) {
    auto codec = TRY(Codec::create(compression));
    std::unique_ptr<IncomingRounds> rounds{new IncomingRounds{memory, session, progress, std::move(codec)}};
    rounds->links_ =
        TRY(IncomingLinks::create(rounds->ram_, connections, session.channel().cancel(), compression));
    return rounds;
}

Status IncomingRounds::live(Report& report) {
    // A connection that fails wakes the first one, whose turn it is to tell the source.
    const Cancel* const cancel = session_.channel().cancel();
    session_.channel().set_cancel(links_->stop());
    auto outcome = live_rounds(report);
    session_.channel().set_cancel(cancel);
    return outcome.ok() ? std::move(outcome) : stopped(std::move(outcome).error());
}

Status IncomingRounds::final(Report& report) {
    const Cancel* const cancel = session_.channel().cancel();
    session_.channel().set_cancel(links_->stop());
    auto outcome = final_round(report);
    session_.channel().set_cancel(cancel);
    return outcome.ok() ? std::move(outcome) : stopped(std::move(outcome).error());
}

Status IncomingRounds::stopped(Error why) {
    links_->halt();
    return links_->reason(std::move(why));
}

void IncomingRounds::begin_round() {
    before_ = {ram_.counters(), bytes_read()};
    links_->begin_round(++number_); // from here on they count
}

std::uint64_t IncomingRounds::bytes_read() {
    return session_.channel().bytes_read() + links_->bytes_read();
}

Status IncomingRounds::live_rounds(Report& report) {
    Stopwatch round;
    begin_round();
    for (;;) {
        const Frame frame = TRY(session_.receive());
        if (frame.type == Message::FinalRound)
            return {};
        if (frame.type != Message::RoundEnd) {
            TRY(receiver_.take(frame, IncomingRam::Guest::Runs));
            continue;
        }
        const RoundReport ended = TRY(end_of_round(frame, RoundKind::Live, round));
        if (report.rounds.size() == kMaxRounds)
            return error(ErrorCode::Protocol, "more than {} rounds", kMaxRounds);
        report.rounds.push_back(ended);
        progress_.update([&](ProgressSnapshot& now) { now.dirty_sync_count = ended.number; });
        begin_round();
        TRY(session_.send(Message::RoundAck, encode(Round{ended.number, ended.pages})));
    }
}

Status IncomingRounds::final_round(Report& report) {
    if (report.rounds.empty())
        return error(ErrorCode::Protocol, "the last round came before the first");
    Stopwatch round;
    for (;;) {
        const Frame frame = TRY(session_.receive());
        if (frame.type == Message::RoundEnd) {
            report.final_round = TRY(end_of_round(frame, RoundKind::Final, round));
            break;
        }
        TRY(receiver_.take(frame, IncomingRam::Guest::Paused));
    }
    TRY(ram_.check_complete());
    const auto counters = ram_.counters();
    report.data_pages = counters.data_pages;
    report.zero_pages = counters.zero_pages;
    report.repaired_pages = counters.repaired_pages;
    return {};
}

Status IncomingRounds::verify(Report& report) {
    Stopwatch watch;
    // The source sums up its own at the same time.
    const auto ours = TRY(digest_ram(ram_.memory(), session_.channel().cancel()));
    for (std::uint64_t next = 0; next < ours.size();) {
        const Bytes body = TRY(session_.expect(Message::Verify));
        const Verify theirs = TRY(decode_verify(body));
        if (theirs.first != next || theirs.digests.size() > ours.size() - next)
            return error(ErrorCode::Protocol,
                         "checksums of {} pieces of RAM from {} on, {} are due from {} on",
                         theirs.digests.size(), theirs.first, ours.size() - next, next);
        for (const std::uint32_t digest : theirs.digests) {
            if (digest != ours[next])
                return corrupt("RAM differs, first between {} and {}: its checksum is {:#010x} at the source "
                               "and {:#010x} at the destination",
                               RamOffset{next * kDigestBytes},
                               RamOffset{std::min((next + 1) * kDigestBytes, ram_.memory().size())}, digest,
                               ours[next]);
            ++next;
        }
    }
    report.verify = watch.total();
    return {};
}

Result<RoundReport> IncomingRounds::end_of_round(const Frame& frame, RoundKind kind, Stopwatch& round) {
    const Round announced = TRY(decode_round(frame.body));
    // A source that gives up says so on the first connection. After its last round the state is next there.
    TRY(links_->end_round(kind, session_.channel().timeout(),
                          [&] { return kind == RoundKind::Live ? session_.check_peer() : Status{}; }));
    const auto counters = ram_.counters();
    RoundReport report;
    report.number = number_;
    report.zero_pages = counters.zero_pages - before_.pages.zero_pages;
    report.pages = counters.pages() - before_.pages.pages();
    report.bytes = bytes_read() - before_.bytes;
    report.duration = round.lap();
    if (announced != Round{report.number, report.pages})
        return error(ErrorCode::Protocol, "round {} of {} pages was sent, round {} of {} pages arrived",
                     announced.number, announced.pages, report.number, report.pages);
    // None came twice: these are all of them.
    if (report.number == 1 && report.pages != ram_.memory().page_count())
        return error(ErrorCode::Protocol, "the first round had {} pages, RAM has {}", report.pages,
                     ram_.memory().page_count());
    return report;
}

} // namespace godwit::migration
