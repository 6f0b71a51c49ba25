// SPDX-License-Identifier: Apache-2.0
//
// The phases in which the guest runs here: greeting and rounds.
#include "migration/source_phases.h"

#include "migration/boot_transfer.h"
#include "migration/preflight/compare.h"
#include "migration/ram/ram_digest.h"
#include "vmm/base/log.h"

#include <cerrno>
#include <sys/random.h>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// While disks are waited for, the peer, or a cancel, is heard so often; and the peer hears of us at the end
// of the round, which takes so long at the most.
constexpr std::chrono::milliseconds kWriteBackGlance = 100ms;
constexpr std::chrono::milliseconds kWriteBackPatience = 1s;

Result<MigrationId> new_id() {
    MigrationId id;
    if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size()))
        return system_error(errno, "get random bytes");
    return id;
}

} // namespace

namespace {

std::uint64_t capabilities_of(const Parameters& wanted) {
    std::uint64_t capabilities = wanted.verify ? kCanVerify : 0;
    if (wanted.compression == Compression::Zstd)
        capabilities |= kCanZstd;
    if (wanted.compression == Compression::Lz4)
        capabilities |= kCanLz4;
    return capabilities;
}

Status send_boot(SourceAttempt& attempt, const BootSourcePtr& boot, std::uint64_t agreed) {
    if (boot == nullptr)
        log::warning("what the guest is booted with is not known here: it cannot reboot at the destination, "
                     "unless that was given a kernel");
    else if ((agreed & kCanBoot) == 0)
        log::warning("the destination does not take what the guest is booted with: it cannot reboot there");
    else
        return send_boot(attempt.session(), *boot, attempt.links().limit());
    return {};
}

} // namespace

Result<Precopy> greet(SourceAttempt& attempt) {
    Stopwatch setup;
    MachinePort& port = attempt.port();
    const Parameters wanted = attempt.parameters();
    const BootSourcePtr boot = port.boot_source();
    const Hello hello{kProtocolVersion, capabilities_of(wanted) | (boot != nullptr ? kCanBoot : 0),
                      TRY(new_id()),    Purpose::Move,
                      port.describe(),  attempt.options().connect ? wanted.connections : 1};
    attempt.set_id(hello.id);
    TRY(attempt.session().send(Message::Hello, encode(hello)));
    const Bytes reply = TRY(attempt.session().expect(Message::HelloReply));
    const Hello theirs = TRY(decode_hello(reply));
    // The destination has compared; that it could have missed something costs nothing to check.
    const auto names = [&](std::uint16_t device, unsigned bit) { return port.feature_name(device, bit); };
    Differences found = compare_machines(hello.machine, theirs.machine, names);
    accept(found, theirs.accepted);
    if (const Differences refuses = refusing(found); !refuses.empty())
        return as_error(refuses);
    for (const Difference& one : found)
        log::warning("{} [{}], which the destination accepts", one.sentence(), one.code);
    if (theirs.connections > hello.connections)
        return error(ErrorCode::Protocol, "the destination wants {} connections, {} were offered",
                     theirs.connections, hello.connections);
    const std::uint64_t refused = hello.capabilities & ~theirs.capabilities;
    if ((refused & kCanVerify) != 0)
        return error(ErrorCode::Incompatible, "the destination cannot verify RAM");
    if ((refused & (kCanZstd | kCanLz4)) != 0)
        log::warning("the destination does not know this compression; pages go as they are");
    const std::uint64_t agreed = hello.capabilities & theirs.capabilities;
    TRY(attempt.open_links(hello.id, theirs.connections, agreed));
    TRY_IN(send_boot(attempt, boot, agreed), "send what the guest is booted with");
    PolicyOptions policy = attempt.options().policy;
    if (attempt.verifies())
        policy.fixed_cost += forecast_digest(port.memory());
    TRY_IN(attempt.start_dirty_log(), "start the dirty log");
    attempt.report().setup = setup.total();
    attempt.progress().set_status(MigrationStatus::Active);

    PageBitmap pending{port.memory().page_count()};
    pending.set_all();
    // What is in the page cache goes to the disks beside the first round.
    TRY(port.write_back(0ms));
    return Precopy{attempt, hello.id, std::move(pending), Policy{policy}};
}

Status Precopy::rounds() {
    Stopwatch dirty; // since the pages last counted as clean
    for (std::uint32_t number = 1;; ++number) {
        Stopwatch round;
        const RoundCount count = TRY(attempt.links().send_round(pending, number, RoundKind::Live));
        TRY(attempt.session().send(Message::RoundEnd, encode(Round{number, count.pages()})));
        // Waiting until all of it is in place keeps the last round from queueing behind this one, and makes
        // the measured rate the true one.
        TRY(attempt.links().await_answer());
        const Bytes body = TRY(attempt.session().expect(Message::RoundAck));
        const Round acknowledged = TRY(decode_round(body));
        if (acknowledged != Round{number, count.pages()})
            return error(ErrorCode::Protocol, "round {} of {} pages was acknowledged as {} of {}", number,
                         count.pages(), acknowledged.number, acknowledged.pages);
        if (TRY(decide(count, round.total(), dirty)))
            return {};
    }
}

// The first pass has everything to bring that was in the page cache: rounds go on while it lasts. Only the
// next one tells how much a guest that goes on writing leaves to be brought when it is paused; so it is
// waited for a while.
Result<WriteBackState> Precopy::write_back() {
    Channel& channel = attempt.session().channel();
    const auto patience =
        std::min<std::chrono::milliseconds>(kWriteBackPatience, attempt.options().timeout / 4);
    WriteBackState disks = TRY(attempt.port().write_back(kWriteBackGlance));
    if (!wrote_back && !disks.under_way) {
        wrote_back = true;
        disks = TRY(attempt.port().write_back(kWriteBackGlance));
    }
    for (auto waited = kWriteBackGlance; wrote_back && disks.under_way && waited < patience;
         waited += kWriteBackGlance) {
        if (TRY(channel.readable(0ms)))
            TRY(attempt.session().check_peer());
        disks = TRY(attempt.port().write_back(kWriteBackGlance));
    }
    // A cancel between two frames is one that the peer hears of; a round of nothing would have one frame
    // only.
    if (TRY(channel.readable(0ms)))
        TRY(attempt.session().check_peer());
    return disks;
}

Result<bool> Precopy::decide(const RoundCount& count, Duration duration, Stopwatch& dirty) {
    pending.clear_all();
    const Parameters wanted = attempt.parameters();
    // Before the pages are counted, so that the time it takes is not time in which more of them are written.
    const WriteBackState disks = TRY(write_back());
    TRY_IN(attempt.port().harvest_dirty(pending.words()), "read the dirty log");
    pending.drop_excess();
    const std::uint64_t dirty_pages = pending.count();
    const Decision decision = policy.after_round({.bytes = count.bytes,
                                                  .duration = duration,
                                                  .dirty_pages = dirty_pages,
                                                  .dirty_period = dirty.lap(),
                                                  .round_trip = attempt.session().channel().round_trip(),
                                                  .write_back = disks.took,
                                                  .writing_back = disks.under_way,
                                                  .first_write_back = !wrote_back},
                                                 wanted);

    RoundReport report;
    report.number = static_cast<std::uint32_t>(attempt.report().rounds.size() + 1);
    report.pages = count.pages();
    report.zero_pages = count.zero_pages;
    report.bytes = count.bytes;
    report.duration = duration;
    report.bytes_per_second = decision.bytes_per_second;
    report.dirty_pages = dirty_pages;
    report.dirty_pages_per_second = decision.dirty_pages_per_second;
    report.expected_downtime = decision.expected_downtime;
    report.fixed_cost = decision.fixed_cost;
    report.throttle = attempt.throttled();
    report.stalled = decision.stalled;
    attempt.report().rounds.push_back(report);
    attempt.report().stalled = decision.stalled;
    attempt.report().over_limit = decision.over_limit;
    attempt.report().expected_downtime = decision.expected_downtime;
    attempt.report().downtime_limit = wanted.downtime_limit;
    attempt.progress().update([&](ProgressSnapshot& now) {
        now.ram_remaining = dirty_pages * kPageSize;
        now.dirty_sync_count = report.number;
        now.dirty_pages_rate = static_cast<std::uint64_t>(decision.dirty_pages_per_second);
        now.mbps = decision.bytes_per_second * 8 / 1e6;
        now.stalled = decision.stalled;
        now.writing_back = disks.under_way;
        now.expected_downtime =
            std::chrono::duration_cast<std::chrono::milliseconds>(decision.expected_downtime);
    });
    if (attempt.options().observer != nullptr)
        attempt.options().observer->round_ended(report, decision);
    if (decision.verdict == Verdict::GiveUp)
        return error(ErrorCode::NotConverging, "not converging: after {} rounds {}", report.number,
                     decision.why);
    if (decision.declared)
        log::warning("after {} rounds the migration does not get ahead ({}); {}", report.number, decision.why,
                     decision.verdict == Verdict::SwitchOver
                         ? "the guest is paused all the same"
                         : fmt::format("the guest is slowed by {} %", decision.throttle));
    TRY_IN(attempt.throttle(decision.throttle), "slow the guest");
    return decision.verdict == Verdict::SwitchOver;
}

Result<Paused> Precopy::pause() && {
    attempt.progress().set_status(MigrationStatus::Device);
    Stopwatch downtime;
    TRY_IN(attempt.pause(), "pause the guest");
    attempt.report().pause = downtime.total();
    attempt.report().state = attempt.state_before();
    TRY_IN(attempt.port().harvest_dirty(pending.words()), "read the dirty log");
    pending.drop_excess();
    return Paused{attempt, id, std::move(pending), downtime};
}

} // namespace godwit::migration
