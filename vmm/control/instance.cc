// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/instance.h"

#include "vmm/base/log.h"
#include "vmm/control/commands.h"
#include "vmm/control/migration_view.h"
#include "vmm/control/sides.h"
#include "vmm/machine/guest_port.h"

namespace godwit::control {

namespace {

Json outcome_data(std::string_view here, const Outgoing::Outcome& outcome) {
    if (outcome.ok()) {
        const migration::Report& report = outcome.value();
        return {{"status", "completed"},
                {"total-time", report.total.count() / 1000},
                {"downtime", report.downtime.count() / 1000},
                {"over-limit", report.over_limit},
                {"transferred", report.bytes}};
    }
    const Error& error = outcome.error();
    const ExitStatus status = migration_exit_status(error.code);
    std::string_view outcome_name = "failed";
    if (error.code == ErrorCode::Cancelled)
        outcome_name = to_string(migration::MigrationStatus::Cancelled);
    else if (error.code == ErrorCode::InDoubt)
        outcome_name = to_string(migration::MigrationStatus::InDoubt);
    return {{"status", outcome_name},
            {"error-desc", reason_text(here, error)},
            {"exit-status", static_cast<int>(status)}};
}

} // namespace

Result<std::unique_ptr<Instance>> Instance::create(InstanceOptions options, const GuestFactory& factory) {
    std::unique_ptr<Instance> instance{new Instance{std::move(options)}};
    TRY(instance->set_up(factory));
    return instance;
}

Status Instance::set_up(const GuestFactory& factory) {
    ending_ = TRY(migration::Cancel::create());
    loop_ = TRY(Loop::create());
    loop_thread_ = std::thread{[this] { loop_->run(); }};
    guest_ = TRY(factory(options_.machine, *loop_, *this));
    checker_ = std::make_unique<Checker>(guest_->port());
    if (const std::string console = guest_->console(); console.starts_with("pty "))
        log::info("the serial port is {}", console);
    if (!options_.timeline.empty())
        timeline_file_ = TRY(TimelineFile::create(options_.timeline));
    Outgoing::Callbacks callbacks;
    callbacks.begins = [this] { broadcast("MIGRATION", {{"status", "setup"}}); };
    callbacks.ended = [this](const Outgoing::Outcome& outcome) {
        tasks_.push([this, outcome] { migration_ended(outcome); });
    };
    callbacks.in_doubt = [this](const Error& why) {
        log::error("{}", reason_text(kSource, why));
        broadcast("MIGRATION", outcome_data(kSource, why));
    };
    callbacks.pre_switchover = [] {
        log::info("the guest is paused before the switchover; `godwit migrate-continue` lets it go on");
    };
    outgoing_ = std::make_unique<Outgoing>(*guest_, timeline_, costs_, std::move(callbacks));
    if (!options_.control_path.empty()) {
        control_socket_ = TRY(QmpServer::listen(options_.control_path));
        server_ = TRY(loop_->call([&] {
            return QmpServer::create(*loop_, control_socket_,
                                     [this](const Request& request, const Responder& responder) {
                                         dispatch(*this, request, responder);
                                     });
        }));
    }
    return {};
}

Instance::~Instance() {
    // What a request looks at is still there now, and is not from here on.
    if (loop_ != nullptr)
        loop_->call([&] {
            if (server_ != nullptr)
                server_->end_requests();
        });
    waiting_ = nullptr;
    incoming_.reset();
    checker_.reset();
    outgoing_.reset();
    guest_.reset();
    if (loop_ != nullptr) {
        loop_->call([&] { server_.reset(); });
        loop_->quit();
        loop_thread_.join();
    }
}

Status Instance::close_door() {
    loop_->call([] { sandbox::enter(sandbox::Role::Loop); });
    return sandbox::close_door();
}

ExitStatus Instance::run() {
    if (const Status status = begin(); !status.ok()) {
        log::error("{}", status.error().text);
        return exit_status(status.error().code);
    }
    while (!ended_)
        tasks_.pop()();
    return *ended_;
}

Status Instance::begin() {
    if (!options_.incoming.empty() || !options_.restore.empty())
        TRY(guest_->read_boot_source());
    if (!options_.incoming.empty()) {
        Incoming::Callbacks callbacks;
        callbacks.begun = [this](const std::string& peer) {
            incoming_timeline_.begin({Timeline::Side::Destination, options_.machine.name, peer,
                                      options_.machine.memory, options_.machine.cpus});
        };
        callbacks.status = [this](auto status) { incoming_timeline_.status_changed(status); };
        callbacks.arrived = [this](const migration::Report& report) {
            costs_.learn(report);
            tasks_.push([this] { guest_arrived(); });
        };
        callbacks.failed = [this](const Error& why, bool last) {
            log::error("the migration to here failed: {}", reason_text(kDestination, why));
            broadcast("MIGRATION", outcome_data(kDestination, why));
            const bool gone = why.code == ErrorCode::GuestEnded && options_.end_with_guest;
            const bool ends = options_.once || last || gone;
            if (ends)
                tasks_.push([this, status = last ? exit_status(why.code) : migration_exit_status(why.code)] {
                    end(status);
                });
            return !ends;
        };
        Incoming::Options incoming;
        incoming.address = options_.incoming;
        incoming.destination.timeout = options_.peer_timeout;
        incoming.destination.accepted = options_.accepted;
        incoming.destination.observer = &incoming_timeline_;
        incoming.tls = options_.tls;
        incoming.insecure = options_.insecure;
        incoming_ = TRY(Incoming::create(guest_->port(), incoming, std::move(callbacks)));
        waiting_ = incoming_.get();
        TRY(close_door());
        incoming_->start();
        return {};
    }
    if (!options_.restore.empty())
        return restore();
    TRY(guest_->boot());
    TRY(close_door());
    if (options_.start_paused)
        TRY(guest_->hold(Guest::Hold::Operator));
    return guest_->release(Guest::Hold::NotStarted);
}

void Instance::end(ExitStatus status) {
    if (!ended_)
        ended_ = status;
}

void Instance::quit(Cause cause) {
    ending_->request("this process is told to end");
    tasks_.push([this, cause] {
        broadcast("SHUTDOWN",
                  {{"guest", false}, {"reason", cause == Cause::Signal ? "host-signal" : "host-qmp-quit"}});
        end(outgoing_->doubt().exists() ? ExitStatus::InDoubt : ExitStatus::Success);
    });
}

// ---- the guest's own doing; on the threads that run it

void Instance::guest_powered_off() {
    tasks_.push([this] {
        if (outgoing_->active()) { // both sides hear why it ends
            const Error why = stop_error(GuestStop::PowerOff);
            if (const Status status = outgoing_->cancel(why.text, why.code); !status.ok())
                log::error("{}", status.error().text);
            outgoing_->join();
            broadcast("MIGRATION", outcome_data(kSource, outgoing_->snapshot().error.value_or(why)));
        }
        broadcast("SHUTDOWN", {{"guest", true}, {"reason", "guest-shutdown"}});
        end(ExitStatus::Success);
    });
}

void Instance::guest_reset() {
    tasks_.push([this] {
        if (options_.no_reboot) {
            broadcast("SHUTDOWN", {{"guest", true}, {"reason", "guest-reset"}});
            return end(ExitStatus::Success);
        }
        if (const Status status = restart(Cause::Guest); !status.ok()) {
            log::error("reset: {}", status.error().text);
            end(exit_status(status.error().code));
        }
    });
}

void Instance::guest_crashed(Error why) {
    tasks_.push([this, why = std::move(why)] {
        log::error("{}", why.text);
        broadcast("SHUTDOWN", {{"guest", true}, {"reason", "guest-panic"}});
        end(ExitStatus::GuestCrashed);
    });
}

void Instance::disk_failed(DiskFailure failure) {
    tasks_.push([this, failure = std::move(failure)] {
        broadcast("BLOCK_IO_ERROR", {{"device", failure.disk},
                                     {"operation", failure.write ? "write" : "read"},
                                     {"action", failure.action},
                                     {"nospace", failure.no_space},
                                     {"reason", failure.reason}});
        if (failure.action != "stop")
            return;
        if (const Status stopped = stop_for_disk(failure); !stopped.ok())
            log::error("{}: {}", failure.disk, stopped.error().text);
    });
}

// ---- the conductor's tasks

// The news may be old: the guest has gone on since then, or away.
Status Instance::stop_for_disk(const DiskFailure& failure) {
    if (guest_->held(Guest::Hold::HandedOver) || guest_->held(Guest::Hold::IoError) ||
        !guest_->waits_for_disk())
        return {};
    const bool ran = guest_->running();
    TRY(guest_->hold(Guest::Hold::IoError));
    log::error("{}: {}: the guest stands still until `godwit resume` tries again", failure.disk,
               failure.reason);
    if (ran)
        broadcast("STOP");
    return {};
}

Status Instance::stop() {
    if (guest_->held(Guest::Hold::HandedOver) || guest_->held(Guest::Hold::NotStarted))
        return invalid_input("there is no guest here that runs");
    TRY(guest_->hold(Guest::Hold::Operator));
    broadcast("STOP");
    return {};
}

Status Instance::cont() {
    if (guest_->held(Guest::Hold::HandedOver))
        return invalid_input("the guest was handed over to another process and must not run here");
    if (guest_->held(Guest::Hold::NotStarted))
        return invalid_input("the guest has not arrived yet");
    if (outgoing_->doubt().exists())
        return invalid_input("the migration is in doubt: `godwit resolve` is the way out");
    if (guest_->held(Guest::Hold::Migration))
        return invalid_input("the guest is held by a migration");
    if (guest_->held(Guest::Hold::Save))
        return invalid_input("the guest was saved and this process ends");
    TRY(guest_->release(Guest::Hold::Operator));
    TRY(guest_->release(Guest::Hold::IoError));
    broadcast("RESUME");
    return {};
}

Status Instance::restart(Cause cause) {
    if (guest_->held(Guest::Hold::HandedOver))
        return invalid_input("the guest was handed over to another process");
    if (guest_->boot_source() == nullptr)
        return invalid_input(
            "the guest came without what it is booted with, and no kernel was given here: there "
            "is nothing to start it again with");
    const auto move = TRY(interrupt_migration());
    TRY(guest_->hold(Guest::Hold::Restart));
    TRY(guest_->reset());
    TRY(guest_->boot());
    const bool own = cause == Cause::Guest;
    broadcast("RESET", {{"guest", own}, {"reason", own ? "guest-reset" : "host-qmp-system-reset"}});
    TRY(guest_->release(Guest::Hold::Restart));
    if (!move)
        return {};
    log::info("the guest was reset; its migration begins again");
    return start_migration(move->address, move->parameters, move->options);
}

Result<std::optional<Instance::Move>> Instance::interrupt_migration() {
    if (!outgoing_->active())
        return std::optional<Move>{};
    const bool over = outgoing_->over();
    const auto reason = outgoing_->snapshot().error;
    const std::string why = stop_error(GuestStop::Reset).text;
    const bool ended_before = over && !(reason && reason->text.ends_with(why));
    Move move = move_;
    move.parameters = outgoing_->parameters(); // they may have been changed meanwhile
    TRY(outgoing_->cancel(why));
    outgoing_->join();
    if (ended_before || move.parameters.on_reset == migration::OnReset::Cancel)
        return std::optional<Move>{};
    ++interrupted_;
    return std::optional{std::move(move)};
}

Status Instance::start_migration(const migration::Address& address, const migration::Parameters& parameters,
                                 const MoveOptions& options) {
    if (guest_->held(Guest::Hold::NotStarted) || guest_->held(Guest::Hold::HandedOver))
        return invalid_input("there is no guest here that could move");
    if (outgoing_->active())
        return invalid_input("a migration is already under way");
    timeline_events_ = options.timeline_events;
    TRY(outgoing_->start(address, parameters));
    move_ = {address, parameters, options};
    return {};
}

Status Instance::start_check(const migration::Address& address, const migration::Parameters& parameters,
                             std::function<void(const Checker::Answer&)> answered) {
    if (guest_->held(Guest::Hold::NotStarted) || guest_->held(Guest::Hold::HandedOver))
        return invalid_input("there is no guest here that could move");
    return checker_->start(address, parameters, std::move(answered));
}

void Instance::migration_ended(const Outgoing::Outcome& outcome) {
    if (interrupted_ != 0) {
        --interrupted_;
        return;
    }
    outgoing_->join();
    broadcast("MIGRATION", outcome_data(kSource, outcome));
    if (outcome.ok()) {
        const migration::Report& report = outcome.value();
        log::info("the guest has moved: {} MB in {} ms, {} rounds, downtime {} us (pause {}, last round {}, "
                  "save {}, "
                  "send {}, load and apply {}, take-over {})",
                  report.bytes / 1'000'000, report.total.count() / 1000, report.rounds.size(),
                  report.downtime.count(), report.pause.count(), report.final_round.duration.count(),
                  report.save.count(), report.send.count(), report.ready.count(),
                  report.commit_to_running.count());
        if (move_.options.quit)
            end(ExitStatus::Success);
        return;
    }
    log::error("the migration failed: {}", reason_text(kSource, outcome.error()));
    if (guest_->held(Guest::Hold::HandedOver)) // an operator said so
        end(ExitStatus::Success);
}

void Instance::guest_arrived() {
    broadcast("MIGRATION", {{"status", "completed"}});
    if (guest_->running())
        broadcast("RESUME");
}

Status Instance::restore() {
    log::info("restoring from '{}'", options_.restore);
    auto restored = [&]() -> Result<migration::RunState> {
        StreamInput stream = options_.restore_from
                                 ? StreamInput::adopt(std::move(options_.restore_from), *ending_)
                                 : TRY(StreamInput::open(options_.restore, *ending_));
        TRY(close_door());
        return restore_stream(*guest_, std::move(stream), options_.restore,
                              {options_.changed_disks, options_.accepted});
    }();
    if (!restored.ok() && ending_->requested()) {
        log::info("{}", restored.error().text);
        return {};
    }
    migration::RunState state = TRY(std::move(restored));
    if (options_.start_paused)
        state = migration::RunState::Paused;
    TRY(guest_->port().take_over(state));
    log::info("restored; the guest is {}", to_string(state));
    if (state == migration::RunState::Running)
        broadcast("RESUME");
    return {};
}

Status Instance::save(const std::string& place, const std::shared_ptr<Fd>& given, AfterSave after) {
    if (guest_->held(Guest::Hold::NotStarted) || guest_->held(Guest::Hold::HandedOver) || outgoing_->active())
        return invalid_input("the guest cannot be saved now: it is not here, or it is moving");
    StreamOutput output =
        TRY_IN(given != nullptr ? StreamOutput::adopt(std::move(*given), place) : StreamOutput::create(place),
               fmt::format("saving to '{}'", place));
    TRY(save_stream(*guest_, std::move(output), after, *ending_));
    log::info("saved to '{}'", place);
    return {};
}

// ---- any thread

std::string_view Instance::status_name() const {
    if (guest_->held(Guest::Hold::HandedOver))
        return "postmigrate";
    if (guest_->held(Guest::Hold::NotStarted)) {
        if (!options_.restore.empty())
            return "restore-vm";
        return options_.incoming.empty() ? "prelaunch" : "inmigrate";
    }
    if (guest_->held(Guest::Hold::Save))
        return "save-vm";
    if (guest_->held(Guest::Hold::Migration))
        return "finish-migrate";
    if (guest_->held(Guest::Hold::IoError))
        return "io-error";
    return guest_->held(Guest::Hold::Operator) ? "paused" : "running";
}

Json Instance::migration_status() const {
    const auto out = outgoing_->snapshot();
    if (const Incoming* const incoming = waiting_;
        incoming != nullptr && out.status == migration::MigrationStatus::None)
        return incoming_view(incoming->snapshot());
    return outgoing_view(out, !guest_->held(Guest::Hold::NotStarted));
}

// The events that QEMU has too, and ours.
void Instance::migration_record(const Json& record) {
    const std::string kind = record.at("record");
    if (kind == "phase" && record.at("phase") != "in-doubt") // which is told with its reason
        broadcast("MIGRATION", {{"status", record.at("phase")}});
    else if (kind == "round")
        broadcast("MIGRATION_PASS", {{"pass", record.at("round")}});
    else if (kind == "stall")
        broadcast("MIGRATION_STALL", record);
    if (timeline_events_)
        broadcast("MIGRATION_TIMELINE", record);
}

void Instance::broadcast(std::string_view name, Json data) {
    if (server_ != nullptr)
        server_->broadcast(std::string{name}, std::move(data));
}

} // namespace godwit::control
