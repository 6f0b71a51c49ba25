// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a guest: listens, receives, and listens again after an attempt that failed.
// Threads: created and destroyed on the conductor; its own thread does the work.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/channel/listener.h"
#include "migration/destination.h"
#include "migration/progress.h"
#include "migration/report.h"
#include "vmm/machine/migration_port.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace godwit::control {

class Incoming {
  public:
    // Both are called on the incoming thread.
    struct Callbacks {
        std::function<void(const migration::Report&)> arrived; // the guest is ours; waiting is over
        // True: wait for the next attempt.
        std::function<bool(const Error&)> failed;
    };

    static Result<std::unique_ptr<Incoming>> start(Machine& machine, const std::string& address,
                                                   const migration::DestinationOptions& options,
                                                   Callbacks callbacks);
    ~Incoming();

    // Any thread.
    migration::ProgressSnapshot snapshot() const { return progress_.snapshot(); }

  private:
    Incoming(Machine& machine, migration::Listener listener, const migration::DestinationOptions& options,
             std::unique_ptr<migration::Cancel> cancel, Callbacks callbacks)
        : port_(machine), listener_(std::move(listener)), options_(options), cancel_(std::move(cancel)),
          callbacks_(std::move(callbacks)) {}
    void thread_main();
    Result<migration::Report> attempt();

    MigrationPort port_;
    migration::Listener listener_;
    const migration::DestinationOptions options_;
    std::unique_ptr<migration::Cancel> cancel_;
    Callbacks callbacks_;
    migration::Progress progress_;
    std::thread thread_; // last: uses everything above
};

} // namespace godwit::control
