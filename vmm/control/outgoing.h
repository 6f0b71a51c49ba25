// SPDX-License-Identifier: Apache-2.0
//
// A migration away from this process: its thread, its limits, its progress.
// Threads: start() and join() on the conductor; the rest from any thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/cancel.h"
#include "migration/channel/connector.h"
#include "migration/cost.h"
#include "migration/doubt.h"
#include "migration/parameters.h"
#include "migration/progress.h"
#include "migration/report.h"
#include "migration/switchover_gate.h"
#include "vmm/control/timeline.h"
#include "vmm/machine/guest.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

namespace godwit::control {

// How a source reaches that address.
Result<migration::Connector> connector_to(const migration::Address& address,
                                          const migration::Parameters& parameters);

class Outgoing {
  public:
    using Outcome = Result<migration::Report>;

    // All but the first are called on the migration's thread.
    struct Callbacks {
        std::function<void()> begins;               // conductor: before anything else is heard of it
        std::function<void(const Outcome&)> ended;  // the conductor must then join()
        std::function<void(const Error&)> in_doubt; // an operator is needed; it is not over
        std::function<void()> pre_switchover;       // it waits for continue_migration()
    };
    // Timeline and costs are told of what happens, and must outlive it.
    Outgoing(Guest& guest, Timeline& timeline, migration::CostMemory& costs, Callbacks callbacks);
    ~Outgoing();

    // Refuses a second migration while one runs. `parameters` are those of this migration alone.
    Status start(const migration::Address& address, const migration::Parameters& parameters);
    // Stops one that has not been committed; without one, nothing. An error when the guest is given away.
    Status cancel(std::string_view why = "cancelled", ErrorCode cause = ErrorCode::Cancelled);
    // Lets one go on that waits before its switchover.
    Status continue_migration() { return gate_.open(); }
    // The operator's way out of doubt. Waits until it has an effect.
    migration::Doubt& doubt() { return doubt_; }
    void join();

    // Until join().
    bool active() const;
    // Conductor: one is active, and whoever asks is told already that it is over. When this returns, so was
    // `ended`.
    bool over();
    // Nothing was ever started when its status is None.
    migration::ProgressSnapshot snapshot() const { return progress_.snapshot(); }

    // Of the migration that runs, else of the next one.
    migration::Parameters parameters() const;
    migration::Parameters next_parameters() const;
    // Runs `change(parameters, running)` on those of the next migration, and of the one that runs; keeps both
    // or, on an error, neither.
    Status change_parameters(const std::function<Status(migration::Parameters&, bool running)>& change);

  private:
    Outcome run(const migration::Connector& connector, migration::Cancel& cancel);

    class Watcher;

    Guest& guest_;
    Timeline& timeline_;
    migration::CostMemory& costs_;
    std::function<void()> begins_;
    std::function<void(const Outcome&)> ended_;
    migration::Progress progress_;
    migration::Doubt doubt_;
    migration::SwitchoverGate gate_;

    mutable std::mutex mutex_;
    migration::Parameters next_;                // under mutex_
    migration::LiveParameters live_;            // of the one that runs
    std::unique_ptr<migration::Cancel> cancel_; // under mutex_; set while one runs
    std::thread thread_;
};

} // namespace godwit::control
