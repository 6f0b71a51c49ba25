// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/outgoing.h"

#include "migration/source.h"
#include "migration/time_limit.h"
#include "vmm/sandbox/sandbox.h"

namespace godwit::control {

namespace {
constexpr std::chrono::seconds kConnectLimit{10};
} // namespace

Result<migration::Connector> connector_to(const migration::Address& address,
                                          const migration::Parameters& parameters) {
    std::shared_ptr<const migration::TlsCredentials> tls;
    if (parameters.tls.wanted())
        tls = TRY(migration::TlsCredentials::load(parameters.tls, migration::TlsCredentials::Side::Client));
    return migration::Connector{address, std::move(tls), kConnectLimit};
}

// Passes on what happens, and remembers what it costs.
class Outgoing::Watcher final : public migration::Observer {
  public:
    explicit Watcher(Outgoing& of) : of_(of) {}
    void round_ended(const migration::RoundReport& round, const migration::Decision& decision) override {
        of_.timeline_.round_ended(round, decision);
    }
    void ended(const migration::Report& report, const Error* reason) override {
        of_.costs_.learn(report);
        of_.timeline_.ended(report, reason);
    }

  private:
    Outgoing& of_;
};

Outgoing::Outgoing(Guest& guest, Timeline& timeline, migration::CostMemory& costs, Callbacks callbacks)
    : guest_(guest), timeline_(timeline), costs_(costs), begins_(std::move(callbacks.begins)),
      ended_(std::move(callbacks.ended)), doubt_(std::move(callbacks.in_doubt)),
      gate_(std::move(callbacks.pre_switchover)) {
    progress_.on_status([this](migration::MigrationStatus status) { timeline_.status_changed(status); });
}

Outgoing::~Outgoing() {
    (void)cancel();
    doubt_.abandon();
    join();
}

Status Outgoing::start(const migration::Address& address, const migration::Parameters& parameters) {
    if (active())
        return invalid_input("a migration is already under way");
    join();
    const migration::Connector connector = TRY(connector_to(address, parameters));
    auto cancel = TRY(migration::Cancel::create());
    migration::Cancel& wanted = *cancel;
    {
        const std::lock_guard lock{mutex_};
        live_.set(parameters);
        cancel_ = std::move(cancel);
    }
    progress_.set_status(migration::MigrationStatus::Setup);
    begins_();
    thread_ = std::thread{[this, connector, &wanted] {
        sandbox::enter(sandbox::Role::Source);
        const Outcome outcome = run(connector, wanted);
        if (!outcome.ok() && progress_.snapshot().status == migration::MigrationStatus::Setup)
            progress_.finish(outcome.error().code == ErrorCode::Cancelled
                                 ? migration::MigrationStatus::Cancelled
                                 : migration::MigrationStatus::Failed,
                             outcome.error());
        ended_(outcome);
    }};
    return {};
}

Outgoing::Outcome Outgoing::run(const migration::Connector& connector, migration::Cancel& cancel) {
    const migration::TimeLimit time_limit{live_, cancel};
    auto connected = connector.connect(&cancel);
    const MachineConfig& machine = guest_.config();
    timeline_.begin(
        {Timeline::Side::Source, machine.name, connector.address.text(), machine.memory, machine.cpus});
    timeline_.parameters_changed(live_.get());
    Watcher watcher{*this};
    if (!connected.ok()) {
        watcher.ended({}, &connected.error());
        return std::move(connected).error();
    }
    const auto channel = std::move(connected).value();
    migration::SourceOptions options;
    options.parameters = &live_;
    options.policy.fixed_cost = costs_.forecast();
    options.observer = &watcher;
    options.timeout = live_.get().peer_timeout;
    options.connector = &connector;
    options.doubt = &doubt_;
    if (connector.address.kind != migration::Address::Kind::Fd) // that is one connection
        options.connect = [&connector](const migration::Cancel* stop) { return connector.connect(stop); };
    options.gate = &gate_;
    return migration::migrate(guest_.port(), *channel, options, progress_, &cancel);
}

Status Outgoing::cancel(std::string_view why, ErrorCode cause) {
    const std::lock_guard lock{mutex_};
    if (cancel_ == nullptr)
        return {};
    const auto now = progress_.snapshot();
    if (now.custody == migration::Custody::Away || now.custody == migration::Custody::InDoubt)
        return invalid_input("the guest is handed over: there is nothing left to cancel");
    cancel_->request(why, cause);
    return {};
}

void Outgoing::join() {
    if (thread_.joinable())
        thread_.join();
    const std::lock_guard lock{mutex_};
    cancel_.reset();
}

bool Outgoing::active() const {
    const std::lock_guard lock{mutex_};
    return cancel_ != nullptr;
}

bool Outgoing::over() {
    using migration::MigrationStatus;
    const MigrationStatus status = progress_.snapshot().status;
    if (!active() || (status != MigrationStatus::Completed && status != MigrationStatus::Failed &&
                      status != MigrationStatus::Cancelled))
        return false;
    if (thread_.joinable())
        thread_.join();
    return true;
}

migration::Parameters Outgoing::parameters() const {
    const std::lock_guard lock{mutex_};
    return cancel_ != nullptr ? live_.get() : next_;
}

migration::Parameters Outgoing::next_parameters() const {
    const std::lock_guard lock{mutex_};
    return next_;
}

Status
Outgoing::change_parameters(const std::function<Status(migration::Parameters&, bool running)>& change) {
    const std::lock_guard lock{mutex_};
    migration::Parameters next = next_;
    TRY(change(next, false));
    if (cancel_ != nullptr) {
        migration::Parameters live = live_.get();
        TRY(change(live, true));
        timeline_.parameters_changed(live);
        live_.set(std::move(live));
    }
    next_ = std::move(next);
    return {};
}

} // namespace godwit::control
