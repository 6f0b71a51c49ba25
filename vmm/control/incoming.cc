// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/incoming.h"

#include "vmm/base/log.h"

namespace godwit::control {

namespace {
constexpr std::chrono::hours kForever{24 * 365};
} // namespace

Result<std::unique_ptr<Incoming>> Incoming::start(Machine& machine, const std::string& address,
                                                  const migration::DestinationOptions& options,
                                                  Callbacks callbacks) {
    const migration::Address parsed = TRY(migration::Address::parse(address));
    migration::Listener listener = TRY(migration::Listener::open(parsed));
    auto cancel = TRY(migration::Cancel::create());
    std::unique_ptr<Incoming> incoming{
        new Incoming{machine, std::move(listener), options, std::move(cancel), std::move(callbacks)}};
    log::info("waiting for a migration on {}", incoming->listener_.address().text());
    incoming->thread_ = std::thread{[raw = incoming.get()] { raw->thread_main(); }};
    return incoming;
}

Incoming::~Incoming() {
    cancel_->request();
    if (thread_.joinable())
        thread_.join();
}

void Incoming::thread_main() {
    for (;;) {
        const auto report = attempt();
        if (report.ok())
            return callbacks_.arrived(*report);
        if (cancel_->requested() || !callbacks_.failed(report.error()))
            return;
        log::info("waiting for a migration again on {}", listener_.address().text());
    }
}

Result<migration::Report> Incoming::attempt() {
    auto channel = TRY(listener_.accept(kForever, cancel_.get()));
    return migration::receive(port_, *channel, options_, progress_, cancel_.get());
}

} // namespace godwit::control
