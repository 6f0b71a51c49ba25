// SPDX-License-Identifier: Apache-2.0
//
// The side that gets the guest. README.md has the sequence. Threads: receive() runs on a thread of its own;
// Progress and Cancel are the way in and out for the others.
#pragma once

#include "migration/attachments.h"
#include "migration/ledger.h"
#include "migration/machine_port.h"
#include "migration/observer.h"
#include "migration/progress.h"
#include "migration/reception.h"
#include "migration/report.h"

namespace godwit::migration {

struct DestinationOptions {
    // Without any progress of the peer, in every phase.
    std::chrono::milliseconds timeout = kDefaultTimeout;
    // Where the outcome is remembered, for a source that asks. Null: nobody can ask.
    Ledger* ledger = nullptr;
    Observer* observer = nullptr;      // of its end; may be null
    std::vector<std::string> accepted; // codes of reasons that do not refuse a guest
    // Where further connections come in; null: there are none.
    Attachments* attachments = nullptr;
};

// On success the guest is ours: it runs, or is paused if it was before; or, when the source only wanted to
// know whether the two fit, nothing has changed and Report::check has the answer that it got. On an error it
// did not run here and never will in this attempt; the machine is empty again and can receive anew. `cancel`
// may be null; it has no effect after COMMIT. A source that asks before it does requests it too.
Result<Report> receive(MachinePort& port, Channel& channel, const DestinationOptions& options,
                       Progress& progress, Cancel* cancel);
// The same over a connection whose HELLO was read.
Result<Report> receive(MachinePort& port, Connection connection, const DestinationOptions& options,
                       Progress& progress, Cancel* cancel);

} // namespace godwit::migration
