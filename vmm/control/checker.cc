// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/checker.h"

#include "vmm/control/outgoing.h"
#include "vmm/sandbox/sandbox.h"

namespace godwit::control {

Checker::~Checker() {
    if (cancel_ != nullptr)
        cancel_->request();
    if (thread_.joinable())
        thread_.join();
}

Status Checker::start(const migration::Address& address, const migration::Parameters& parameters,
                      std::function<void(const Answer&)> answered) {
    if (busy_)
        return invalid_input("another check is under way");
    if (thread_.joinable())
        thread_.join();
    const migration::Connector connector = TRY(connector_to(address, parameters));
    cancel_ = TRY(migration::Cancel::create());
    busy_ = true;
    thread_ =
        std::thread{[this, connector, timeout = parameters.peer_timeout, answered = std::move(answered)] {
            sandbox::enter(sandbox::Role::Source);
            const Answer answer = ask(connector, timeout);
            busy_ = false;
            answered(answer);
        }};
    return {};
}

Checker::Answer Checker::ask(const migration::Connector& connector, std::chrono::milliseconds timeout) {
    auto channel = TRY(connector.connect(cancel_.get()));
    return migration::check(port_, *channel, timeout, cancel_.get());
}

} // namespace godwit::control
