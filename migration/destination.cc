// SPDX-License-Identifier: Apache-2.0
#include "migration/destination.h"

#include "migration/boot_transfer.h"
#include "migration/incoming_rounds.h"
#include "migration/judge.h"
#include "migration/protocol/session.h"
#include "migration/stopwatch.h"
#include "migration/wire/save_load.h"
#include "vmm/base/log.h"

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// The guest at the source may be paused and waits for its disks to be let go.
constexpr auto kLastWordLimit = 200ms;

// From the first page on until the guest is ours: whatever arrived is thrown away when it goes out of scope.
class Incoming {
  public:
    explicit Incoming(MachinePort& port) : port_(&port) {}
    Incoming(Incoming&& other) noexcept : port_(std::exchange(other.port_, nullptr)) {}
    Incoming& operator=(Incoming&&) = delete;
    ~Incoming() {
        if (port_ == nullptr)
            return;
        for (StateSection* const section : port_->sections())
            section->discard_load();
        if (const auto discarded = port_->discard_incoming(); !discarded.ok())
            log::error("what an aborted migration left could not be removed: {}", discarded.error().text);
    }
    void keep() { port_ = nullptr; }

  private:
    MachinePort* port_;
};

struct Context {
    MachinePort& port;
    DestinationSession& session;
    Progress& progress;
    Report& report;
    Ledger& ledger;
    Cancel* cancel;
    std::optional<MigrationId>& entered; // into the ledger
    const DestinationOptions& options;
    // Set by greet(). Lives until the source was told how it ended: that it sees the reason before the end of
    // a connection.
    std::unique_ptr<IncomingRounds>& rounds;
};

// The phases, in order. Each step consumes a phase and gives the next one.

struct Owned {
    Context context;
    MigrationId id;
    Stopwatch downtime;

    Status announce() &&;
};

struct StateLoaded {
    Context context;
    MigrationId id;
    RunState state;
    Incoming incoming;
    Stopwatch downtime;

    Result<Owned> take_over() &&;
};

struct RamComplete {
    Context context;
    MigrationId id;
    Incoming incoming;
    BootSourcePtr boot;
    Stopwatch downtime;

    Result<StateLoaded> load_state() &&;
};

struct Receiving {
    Context context;
    MigrationId id;
    Incoming incoming;
    bool verifies;
    BootSourcePtr boot; // null when the source does not know it

    Result<RamComplete> rounds() &&;
};

Compression compression_of(std::uint64_t capabilities) {
    if ((capabilities & kCanZstd) != 0)
        return Compression::Zstd;
    return (capabilities & kCanLz4) != 0 ? Compression::Lz4 : Compression::None;
}

// Nothing when the source only wanted to know.
Result<std::optional<Receiving>> greet(Context context) {
    Stopwatch setup;
    const Bytes body = TRY(context.session.expect(Message::Hello));
    MachinePort& port = context.port;
    const Judgement judgement = TRY(judge(port, body, context.options.accepted));
    const Differences refuses = refusing(judgement.differences);
    if (judgement.purpose == Purpose::Check) {
        const bool weighs = (judgement.reply.capabilities & kKnowsWeights) != 0;
        TRY(context.session.send(Message::CheckReport,
                                 weighs ? encode(judgement.differences, Weights::Told) : encode(refuses)));
        context.report.check = refuses;
        return std::optional<Receiving>{};
    }
    if (!refuses.empty()) {
        context.session.refuse(refuses, kLastWordLimit);
        return as_error(refuses);
    }
    for (const Difference& one : not_refusing(judgement.differences))
        log::warning("{} [{}]{}", one.sentence(), one.code,
                     one.weight == Weight::Accepted ? ", which was accepted" : "");
    Hello reply = judgement.reply;
    if (context.options.attachments == nullptr)
        reply.connections = 1;
    TRY(context.ledger.enter(reply.id, context.cancel));
    context.entered = reply.id;
    TRY_IN(port.prepare_for(judgement.guest), "prepare for the guest");
    reply.machine = port.describe(); // with what it has taken over from the guest
    context.rounds = TRY(IncomingRounds::create(port.memory(), context.session, context.progress,
                                                reply.connections, compression_of(reply.capabilities)));
    if (context.options.attachments != nullptr)
        context.options.attachments->open(reply.id, context.rounds->links());
    TRY(context.session.send(Message::HelloReply, encode(reply)));
    Incoming incoming{port};
    BootSourcePtr boot;
    if ((reply.capabilities & kCanBoot) != 0)
        boot = TRY_IN(receive_boot(context.session, port.memory().size()), "what the guest is booted with");
    context.report.setup = setup.total();
    context.progress.set_status(MigrationStatus::Active);
    const bool verifies = (reply.capabilities & kCanVerify) != 0;
    return std::optional<Receiving>{
        Receiving{context, reply.id, std::move(incoming), verifies, std::move(boot)}};
}

Result<RamComplete> Receiving::rounds() && {
    TRY(context.rounds->live(context.report));
    context.progress.set_status(MigrationStatus::Device);
    Stopwatch downtime;
    TRY(context.rounds->final(context.report));
    if (verifies)
        TRY(context.rounds->verify(context.report));
    return RamComplete{context, id, std::move(incoming), std::move(boot), downtime};
}

Result<StateLoaded> RamComplete::load_state() && {
    const Bytes body = TRY(context.session.expect(Message::State));
    Stopwatch watch;
    const StateBody state = TRY(decode_state(body));
    Report& report = context.report;
    report.save_trace = state.trace;
    report.state_bytes = state.stream.size();
    OrderTrace trace;
    const auto sections = context.port.sections();
    const wire::LoadedState loaded =
        TRY_IN(wire::load_state(state.stream, sections, trace), "load the device state");
    report.load = watch.lap();
    TRY_IN(context.port.apply_incoming({loaded.notes.guest, std::move(boot)}), "apply the device state");
    report.apply = watch.lap();
    report.load_trace = trace.steps();
    TRY(context.session.send(Message::Ready, encode(Ready{report.load, report.apply, report.load_trace})));
    return StateLoaded{context, id, loaded.run_state, std::move(incoming), downtime};
}

Result<Owned> StateLoaded::take_over() && {
    const Bytes body = TRY(context.session.expect(Message::Commit));
    // The guest is ours: only a refusal that the source gets gives it back.
    context.session.channel().set_cancel(nullptr);
    const auto commit = decode_commit(body);
    if (!commit.ok())
        return commit.error();
    if (commit.value().id != id || commit.value().state != state)
        return error(ErrorCode::Protocol, "COMMIT is for another guest than the one that came");
    if (!context.ledger.claim(id))
        return error(ErrorCode::Disconnected,
                     "COMMIT came too late: the source had asked, and has its guest back");
    Stopwatch watch;
    TRY_IN(context.port.take_over(state), "take over the guest");
    incoming.keep();
    context.report.take_over = watch.total();
    context.ledger.taken_over(id, context.report.take_over);
    context.report.state = state;
    return Owned{context, id, downtime};
}

Status Owned::announce() && {
    context.report.downtime = downtime.total();
    // The guest runs, whether the source hears of it or not.
    const auto sent =
        context.session.send(Message::Running, encode(RunningBody{id, context.report.take_over}));
    if (!sent.ok())
        log::warning("the guest runs here, but the source could not be told: {}", sent.error().text);
    return {};
}

Status run(Context context) {
    std::optional<Receiving> receiving = TRY(greet(context));
    if (!receiving)
        return {};
    RamComplete complete = TRY(std::move(*receiving).rounds());
    StateLoaded prepared = TRY(std::move(complete).load_state());
    Owned owned = TRY(std::move(prepared).take_over());
    return std::move(owned).announce();
}

Result<Report> receive_over(MachinePort& port, DestinationSession session, const DestinationOptions& options,
                            Progress& progress, Cancel* cancel) {
    Stopwatch total;
    Channel& channel = session.channel();
    progress.begin(port.memory().size());
    channel.set_timeout(options.timeout);
    channel.set_cancel(cancel);
    Report report;
    Ledger nobody_asks;
    Ledger& ledger = options.ledger != nullptr ? *options.ledger : nobody_asks;
    std::optional<MigrationId> entered;
    std::unique_ptr<IncomingRounds> rounds;
    auto outcome = run({port, session, progress, report, ledger, cancel, entered, options, rounds});
    if (options.attachments != nullptr)
        options.attachments->close();
    if (outcome.ok() && report.check) {
        session.channel().finish_writing();
        session.farewell();
        progress.set_status(MigrationStatus::None);
        return report;
    }
    if (outcome.ok()) {
        channel.close();
        report.total = total.total();
        report.bytes = channel.bytes_read() + rounds->links().bytes_read();
        progress.update([&](ProgressSnapshot& now) {
            now.downtime = std::chrono::duration_cast<std::chrono::milliseconds>(report.downtime);
            now.ram_remaining = 0;
        });
        if (options.observer != nullptr)
            options.observer->ended(report, nullptr);
        progress.finish(MigrationStatus::Completed, std::nullopt);
        return report;
    }
    // By now everything is thrown away and the disks are let go: the source may take its guest back.
    Error reason = std::move(outcome).error();
    if (entered) {
        if (ledger.is_fenced(*entered))
            reason = error(ErrorCode::Disconnected,
                           "the source lost the connection, asked for its guest, and has it back");
        ledger.discarded(*entered, reason);
    }
    session.tell(reason, kLastWordLimit,
                 session.state() == DestinationState::Committed ? Message::Relinquish : Message::Error);
    session.farewell();
    if (options.observer != nullptr) {
        report.total = total.total();
        options.observer->ended(report, &reason);
    }
    progress.finish(
        reason.code == ErrorCode::Cancelled ? MigrationStatus::Cancelled : MigrationStatus::Failed, reason);
    return reason;
}

} // namespace

Result<Report> receive(MachinePort& port, Channel& channel, const DestinationOptions& options,
                       Progress& progress, Cancel* cancel) {
    return receive_over(port, DestinationSession{channel}, options, progress, cancel);
}

Result<Report> receive(MachinePort& port, Connection connection, const DestinationOptions& options,
                       Progress& progress, Cancel* cancel) {
    return receive_over(port, DestinationSession{std::move(connection.link), std::move(connection.first)},
                        options, progress, cancel);
}

} // namespace godwit::migration
