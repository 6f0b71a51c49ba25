// SPDX-License-Identifier: Apache-2.0
//
// Waiting for a guest: listens, receives one at a time, and waits again after an attempt that failed. It goes
// on listening when the guest is here, so that a source that lost the connection can ask who has it.
// Threads: created and destroyed on the conductor; a thread of its own receives.
#pragma once

#include "migration/arrivals.h"
#include "migration/channel/cancel.h"
#include "migration/channel/tls_credentials.h"
#include "migration/destination.h"
#include "migration/ledger.h"
#include "migration/machine_port.h"
#include "migration/progress.h"
#include "migration/reception.h"
#include "migration/report.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace godwit::control {

class Incoming {
  public:
    // All are called on the incoming thread.
    struct Callbacks {
        std::function<void(const std::string& peer)> begun;
        std::function<void(migration::MigrationStatus)> status; // while it lasts
        std::function<void(const migration::Report&)> arrived;  // the guest is ours; waiting is over
        // True: wait for the next attempt. `last`: there can be none.
        std::function<bool(const Error&, bool last)> failed;
    };

    struct Options {
        std::string address;
        migration::DestinationOptions destination;
        migration::TlsOptions tls; // none: in the open
        // Without TLS, on an address that other hosts reach: whoever connects may bring a guest.
        bool insecure = false;
    };
    // Opens what the options name, and lets nobody in yet.
    static Result<std::unique_ptr<Incoming>> create(migration::MachinePort& port, const Options& options,
                                                    Callbacks callbacks);
    ~Incoming();
    void start();

    // Any thread.
    migration::ProgressSnapshot snapshot() const { return progress_.snapshot(); }

  private:
    Incoming(migration::MachinePort& port, std::unique_ptr<migration::Reception> reception,
             const migration::DestinationOptions& options, Callbacks callbacks)
        : port_(port), options_(options), callbacks_(std::move(callbacks)), reception_(std::move(reception)) {
        options_.ledger = &ledger_;
        progress_.on_status(callbacks_.status);
        options_.attachments = &attachments_;
    }
    void open_door();
    void thread_main();
    Result<migration::Report> attempt(migration::Connection connection);

    migration::MachinePort& port_;
    migration::DestinationOptions options_;
    Callbacks callbacks_;
    migration::Progress progress_;
    migration::Ledger ledger_;
    migration::Attachments attachments_;
    migration::Arrivals arrivals_;
    std::mutex mutex_;
    bool ending_ = false;                       // under mutex_
    std::unique_ptr<migration::Cancel> cancel_; // under mutex_; of the attempt that is under way
    std::unique_ptr<migration::Reception> reception_;
    std::thread thread_; // last: uses everything above
};

} // namespace godwit::control
