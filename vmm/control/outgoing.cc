// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/outgoing.h"

#include "migration/channel/connector.h"
#include "migration/source.h"

namespace godwit::control {

namespace {
constexpr std::chrono::seconds kConnectLimit{10};
} // namespace

Outgoing::~Outgoing() {
    cancel();
    join();
}

Status Outgoing::start(const migration::Address& address) {
    if (active())
        return invalid_input("a migration is already under way");
    join();
    auto cancel = TRY(migration::Cancel::create());
    const migration::Cancel& wanted = *cancel;
    {
        const std::lock_guard lock{mutex_};
        cancel_ = std::move(cancel);
    }
    progress_.set_status(migration::MigrationStatus::Setup);
    thread_ = std::thread{[this, address, &wanted] {
        const Outcome outcome = run(address, wanted);
        if (!outcome.ok() && progress_.snapshot().status == migration::MigrationStatus::Setup)
            progress_.finish(migration::MigrationStatus::Failed, outcome.error());
        ended_(outcome);
    }};
    return {};
}

Outgoing::Outcome Outgoing::run(const migration::Address& address, const migration::Cancel& cancel) {
    const migration::Connector connector{address, nullptr, kConnectLimit};
    auto channel = TRY(connector.connect(&cancel));
    migration::SourceOptions options;
    const Limits now = limits();
    options.policy.downtime_limit = now.downtime;
    options.timeout = now.peer_timeout;
    return migration::migrate(port_, *channel, options, progress_, &cancel);
}

void Outgoing::cancel() {
    const std::lock_guard lock{mutex_};
    if (cancel_ != nullptr)
        cancel_->request();
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

Limits Outgoing::limits() const {
    const std::lock_guard lock{mutex_};
    return limits_;
}

void Outgoing::set_limits(const Limits& limits) {
    const std::lock_guard lock{mutex_};
    limits_ = limits;
}

} // namespace godwit::control
