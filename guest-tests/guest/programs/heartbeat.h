// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sign of life at a fixed period: either one byte of a..z in turn, or a line with a counter.
//   heartbeat.mode=line|bytes  heartbeat.period=MICROSECONDS
// A beat that comes late is not caught up with: the gap stays visible, and so does its length.
#include "programs/program.h"

namespace guest {

class Heartbeat final : public Program {
  public:
    constexpr Heartbeat() = default;
    std::string_view name() const override { return "heartbeat"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;
    void begin_finish() override { period_ = 0; }

  private:
    bool bytes_ = false;
    u64 period_ = 0; // 0: over
    u64 due_ = 0, last_ = 0;
    u64 beats_ = 0, late_ = 0, longest_gap_ = 0;
};

} // namespace guest
