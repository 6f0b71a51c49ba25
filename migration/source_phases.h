// SPDX-License-Identifier: Apache-2.0
//
// The phases of a source, in order. Each step consumes a phase and gives the next one: COMMIT cannot come
// before READY. What must be undone lives in SourceAttempt. One thread.
#pragma once

#include "migration/query.h"
#include "migration/source_attempt.h"
#include "migration/stopwatch.h"

namespace godwit::migration {

// The guest is given away; only an answer of the destination ends this.
struct Committed {
    SourceAttempt& attempt;
    MigrationId id;
    Stopwatch downtime;

    Reply answer();
    Result<Report> finish() &&;
};

struct Prepared {
    SourceAttempt& attempt;
    MigrationId id;
    Stopwatch downtime;

    Result<Committed> commit() &&;
};

struct Paused {
    SourceAttempt& attempt;
    MigrationId id;
    PageBitmap pending;
    Stopwatch downtime;

    // Until an operator lets it go on, if one wants to be asked.
    Status await_switchover();
    Status keep_alive();
    // Until all that the guest wrote to its disks is on stable storage.
    Status write_back();
    Status final_round();
    // Sends checksums of all of RAM; the destination compares.
    Status verify();
    Result<Prepared> hand_over_state() &&;
};

struct Precopy {
    SourceAttempt& attempt;
    MigrationId id;
    PageBitmap pending;
    Policy policy;
    bool wrote_back = false; // everything that the guest had written when the migration began

    Result<WriteBackState> write_back();
    // True when the guest should be paused now.
    Result<bool> decide(const RoundCount& count, Duration duration, Stopwatch& dirty);
    Status rounds();
    Result<Paused> pause() &&;
};

// Compares the machines and turns the dirty log on.
Result<Precopy> greet(SourceAttempt& attempt);

} // namespace godwit::migration
