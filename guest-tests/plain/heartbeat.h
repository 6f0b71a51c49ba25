// SPDX-License-Identifier: Apache-2.0
//
// The heartbeat program: a numbered line, or a byte of a..z in turn, at a fixed period of the guest's clock.
// A beat that comes late is not caught up with. Threads: the first CPU's.
#pragma once

#include "guest-tests/plain/layout.h"
#include "guest-tests/plain/output.h"
#include "guest-tests/plain/state.h"

namespace godwit::plain {

class Heartbeat {
  public:
    Heartbeat(HeartbeatState& state, const guest::Options& options);

    // The time of the next beat.
    std::uint64_t step(std::uint64_t now, Output& output);
    void start_line(Output& output) const;
    void print_status(Output& output) const;

  private:
    HeartbeatState& state_;
    const bool bytes_;
    const std::uint64_t period_; // ns, 0: none
};

} // namespace godwit::plain
