// SPDX-License-Identifier: Apache-2.0
//
// A migration away from this process: its thread, its limits, its progress.
// Threads: start() and join() on the conductor; the rest from any thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/cancel.h"
#include "migration/channel/channel.h"
#include "migration/progress.h"
#include "migration/report.h"
#include "vmm/machine/migration_port.h"

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace godwit::control {

// What an operator may set.
struct Limits {
    std::chrono::milliseconds downtime{300};
    // How long the destination may say nothing.
    std::chrono::milliseconds peer_timeout = migration::kDefaultTimeout;
};

class Outgoing {
  public:
    using Outcome = Result<migration::Report>;

    // `ended` is called on the migration's thread; the conductor must then join().
    Outgoing(Machine& machine, std::function<void(const Outcome&)> ended)
        : port_(machine), ended_(std::move(ended)) {}
    ~Outgoing();

    // Refuses a second migration while one runs.
    Status start(const migration::Address& address);
    // Stops one that has not been committed; without one, nothing.
    void cancel();
    void join();

    bool active() const;
    // Nothing was ever started when its status is None.
    migration::ProgressSnapshot snapshot() const { return progress_.snapshot(); }

    Limits limits() const;
    void set_limits(const Limits& limits);

  private:
    Outcome run(const migration::Address& address, const migration::Cancel& cancel);

    MigrationPort port_;
    std::function<void(const Outcome&)> ended_;
    migration::Progress progress_;

    mutable std::mutex mutex_;
    Limits limits_;                             // under mutex_
    std::unique_ptr<migration::Cancel> cancel_; // under mutex_; set while one runs
    std::thread thread_;
};

} // namespace godwit::control
