// SPDX-License-Identifier: Apache-2.0
#pragma once
// Nanoseconds since start, from the time stamp counter.  Its frequency comes from CPUID (leaf 0x15, or the
// hypervisor's 0x40000010), else it is measured against the local APIC's timer.
// Where the host's counter is unstable, KVM rewrites a guest's, CPU by CPU: it is behind then, or hardly
// moves while the CPU halts.  So each CPU has its own time, and a timer that has fired moves it on
// (machine/cpu.cc): late, not lost.
#include "base/types.h"

#include <string_view>

namespace guest {

constexpr u64 microsecond = 1000, millisecond = 1000 * microsecond, second = 1000 * millisecond;

class Clock {
  public:
    void init();                 // after lapic::init()
    u64 now() const;             // of this CPU
    void advance_to(u64 moment); // of this CPU: that much time has passed for certain
    u64 tsc_behind() const;      // by how much advance_to() has moved this CPU's time
    u64 tsc_hz() const { return tsc_hz_; }
    std::string_view source() const { return source_; }
    void wait(u64 nanoseconds) const; // spins: for a few microseconds only

  private:
    u64 start_ = 0, tsc_hz_ = 0;
    u64 multiplier_ = 0; // nanoseconds per tick, times 2^32
    std::string_view source_;
};

extern Clock clock;

} // namespace guest
