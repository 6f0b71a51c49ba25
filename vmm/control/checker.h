// SPDX-License-Identifier: Apache-2.0
//
// The question to a waiting receiver whether the guest could move there; the guest runs on meanwhile.
// Threads: start() and the destructor on the conductor; a thread of its own asks.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/channel/connector.h"
#include "migration/check.h"
#include "migration/machine_port.h"
#include "migration/parameters.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace godwit::control {

class Checker {
  public:
    using Answer = Result<migration::Differences>;

    explicit Checker(migration::MachinePort& port) : port_(port) {}
    ~Checker();

    // `answered` is called on the checker's thread. Refuses a second question while one is open.
    Status start(const migration::Address& address, const migration::Parameters& parameters,
                 std::function<void(const Answer&)> answered);

  private:
    Answer ask(const migration::Connector& connector, std::chrono::milliseconds timeout);

    migration::MachinePort& port_;
    std::unique_ptr<migration::Cancel> cancel_;
    std::atomic<bool> busy_{false};
    std::thread thread_;
};

} // namespace godwit::control
