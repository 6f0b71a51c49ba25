// SPDX-License-Identifier: Apache-2.0
//
// The side that has the guest: sends it over one channel and hands it over. README.md has the sequence.
// Threads: migrate() runs on a thread of its own; Progress and Cancel are the way in and out for the others.
#pragma once

#include "migration/channel/channel.h"
#include "migration/machine_port.h"
#include "migration/observer.h"
#include "migration/parameters.h"
#include "migration/policy.h"
#include "migration/progress.h"
#include "migration/report.h"

#include <functional>

namespace godwit::migration {

struct Connector;
class Doubt;
class SwitchoverGate;

struct SourceOptions {
    // What the operator asks; may change meanwhile. Null: what Parameters begins with.
    const LiveParameters* parameters = nullptr;
    PolicyOptions policy;
    Observer* observer = nullptr; // may be null
    // Makes a further connection to the destination; called on the migration's thread. Empty: there is but
    // one.
    std::function<Result<std::unique_ptr<Channel>>(const Cancel*)> connect;
    // Without any progress of the peer, in every phase.
    std::chrono::milliseconds timeout = kDefaultTimeout;
    // After a failure the destination may need a moment to let go of disks.
    std::chrono::milliseconds reclaim_timeout{5'000};
    // How a source that does not know the outcome finds out. Null: it cannot, and migrate() ends in doubt.
    const Connector* connector = nullptr;
    Doubt* doubt = nullptr;
    // Where it waits if Parameters::pause_before_switchover says so. Null: nowhere.
    SwitchoverGate* gate = nullptr;
};

// On success the guest belongs to the destination and port.handed_over() was called. On an error the guest
// does here what it did before, with two exceptions that the error tells: ErrorCode::InDoubt (COMMIT was
// sent, nothing came back, and nobody resolved it; the guest is paused), and resources that could not be
// taken back (it is paused too). With options.doubt it returns when these are resolved, or abandoned.
// `cancel` may be null; it has no effect after COMMIT.
Result<Report> migrate(MachinePort& port, Channel& channel, const SourceOptions& options, Progress& progress,
                       const Cancel* cancel);

} // namespace godwit::migration
