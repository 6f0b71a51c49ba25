// SPDX-License-Identifier: Apache-2.0
//
// All rounds of RAM at the destination, over all connections of a migration: pages go into guest memory, the
// end of a round is acknowledged when every connection has brought its part. One thread; further connections
// come in from any.
#pragma once

#include "migration/protocol/session.h"
#include "migration/ram/incoming_links.h"
#include "migration/report.h"
#include "migration/stopwatch.h"

#include <memory>

namespace godwit::migration {

class IncomingRounds {
  public:
    // All must outlive it. The channel's cancel counts for the other connections as well. Guest RAM reads
    // zero.
    static Result<std::unique_ptr<IncomingRounds>> create(GuestMemory& memory, DestinationSession& session,
                                                          Progress& progress, std::uint32_t connections,
                                                          Compression compression);

    IncomingLinks& links() { return *links_; }

    // Rounds until FINAL_ROUND, and that last one. After an error nothing is written to guest memory any
    // more.
    Status live(Report& report);
    Status final(Report& report);
    // All of RAM against the checksums that the source sends now.
    Status verify(Report& report);

  private:
    struct Seen {
        IncomingRam::Counters pages;
        std::uint64_t bytes = 0;
    };

    IncomingRounds(GuestMemory& memory, DestinationSession& session, Progress& progress,
                   std::unique_ptr<Codec> codec)
        : session_(session), progress_(progress), ram_(memory, progress),
          receiver_(ram_, session, std::move(codec)) {}
    Status live_rounds(Report& report);
    Status final_round(Report& report);
    Result<RoundReport> end_of_round(const Frame& frame, RoundKind kind, Stopwatch& round);
    void begin_round();
    Status stopped(Error why);
    std::uint64_t bytes_read();

    DestinationSession& session_;
    Progress& progress_;
    IncomingRam ram_;
    RamReceiver receiver_; // of the first connection
    std::unique_ptr<IncomingLinks> links_;
    std::uint32_t number_ = 0; // of the round
    Seen before_;              // when it began
};

} // namespace godwit::migration
