// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/incoming.h"

#include "migration/channel/tls_channel.h"
#include "migration/query.h"
#include "vmm/base/log.h"
#include "vmm/sandbox/sandbox.h"

namespace godwit::control {

namespace {

using namespace std::chrono_literals;
using migration::Connection;

// What the peer hears of the migration that is under way when this process ends.
constexpr std::string_view kEnds = "this process is told to end";

log::RateLimit refusals; // whoever reaches the port may want to migrate

// How long a new migration waits for the one before it to be cleaned up.
constexpr auto kPatience = 1s;

// What stands in front of each connection: nothing that a stranger sends is read as a frame.
using Secure = decltype(migration::ReceptionOptions::secure);
Result<Secure> tls_server(const migration::TlsOptions& options, std::chrono::milliseconds limit) {
    const auto credentials =
        TRY(migration::TlsCredentials::load(options, migration::TlsCredentials::Side::Server));
    return Secure{[credentials, limit](std::unique_ptr<migration::Channel> channel) {
        return migration::TlsChannel::start(std::move(channel), credentials, {}, limit);
    }};
}

} // namespace

Result<std::unique_ptr<Incoming>> Incoming::create(migration::MachinePort& port, const Options& options,
                                                   Callbacks callbacks) {
    const migration::Address parsed = TRY(migration::Address::parse(options.address));
    migration::ReceptionOptions door;
    if (options.tls.wanted())
        door.secure = TRY(tls_server(options.tls, door.first_frame));
    auto reception = TRY(migration::Reception::open(parsed, std::move(door)));
    if (!options.tls.wanted() && !options.insecure && reception->reachable_from_outside())
        return invalid_input(
            "{} can be reached from other hosts, and without TLS (--tls-certs, --tls-psk) whoever "
            "connects may bring a guest; --insecure allows it",
            parsed.text());
    return std::unique_ptr<Incoming>{
        new Incoming{port, std::move(reception), options.destination, std::move(callbacks)}};
}

void Incoming::start() {
    open_door();
    log::info("waiting for a migration on {}", reception_->address().text());
    thread_ = std::thread{[this] {
        sandbox::enter(sandbox::Role::Destination);
        thread_main();
    }};
}

Incoming::~Incoming() {
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
        if (cancel_ != nullptr)
            cancel_->request(kEnds);
    }
    const Error ending = error(ErrorCode::Cancelled, "{}", kEnds);
    arrivals_.close(ending);
    if (thread_.joinable())
        thread_.join();
    ledger_.close();
    reception_.reset();
}

void Incoming::open_door() {
    reception_->route(migration::Message::Hello, [this](Connection connection) {
        const std::string peer = connection.channel->peer();
        if (arrivals_.offer(connection, kPatience))
            return;
        const bool here = progress_.snapshot().status == migration::MigrationStatus::Completed;
        const Error busy = error(ErrorCode::NoDevice, "{}",
                                 here ? "this receiver has its guest already"
                                      : "another migration to this receiver is under way");
        refusals.warning("{} wants to migrate to here: {}", peer, busy.text);
        migration::refuse(std::move(connection), busy);
    });
    reception_->route(migration::Message::Query,
                      [this](Connection connection) { answer_query(std::move(connection), ledger_); });
    reception_->route(migration::Message::Attach,
                      [this](Connection connection) { answer_attach(std::move(connection), attachments_); });
    reception_->start([this](const Error& why) { arrivals_.close(why); });
}

void Incoming::thread_main() {
    for (;;) {
        auto connection = arrivals_.wait();
        if (!connection.ok()) {
            if (connection.error().code != ErrorCode::Cancelled)
                (void)callbacks_.failed(connection.error(), true);
            return;
        }
        const auto report = attempt(std::move(connection).value());
        if (report.ok() && report->check) {
            log::info("a source asked whether its guest would fit here: {}",
                      report->check->empty() ? "it would" : migration::as_error(*report->check).text);
            continue;
        }
        if (report.ok()) {
            arrivals_.close(error(ErrorCode::Cancelled, "the guest is here"));
            return callbacks_.arrived(*report);
        }
        {
            const std::lock_guard lock{mutex_};
            if (ending_)
                return;
        }
        if (!callbacks_.failed(report.error(), false))
            return arrivals_.close(report.error());
        log::info("waiting for a migration again on {}", reception_->address().text());
    }
}

Result<migration::Report> Incoming::attempt(Connection connection) {
    auto cancel = TRY(migration::Cancel::create());
    migration::Cancel& wanted = *cancel;
    {
        const std::lock_guard lock{mutex_};
        if (ending_)
            return error(ErrorCode::Cancelled, "cancelled");
        cancel_ = std::move(cancel);
    }
    callbacks_.begun(connection.channel->peer());
    const auto report = migration::receive(port_, std::move(connection), options_, progress_, &wanted);
    const std::lock_guard lock{mutex_};
    cancel_.reset();
    return report;
}

} // namespace godwit::control
