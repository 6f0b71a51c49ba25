// SPDX-License-Identifier: Apache-2.0
#include "machine/clock.h"

#include "machine/cpu.h"
#include "machine/io.h"
#include "machine/lapic.h"

namespace guest {

constinit Clock clock;

namespace {

constexpr u32 hypervisor_bit = 1u << 31; // CPUID 1, ecx

bool sensible(u64 hz) {
    return hz >= 100'000'000 && hz <= 10'000'000'000;
}

u64 from_crystal() {
    if (cpuid(0).eax < 0x15)
        return 0;
    CpuidLeaf leaf = cpuid(0x15);
    return leaf.eax == 0 ? 0 : u64{leaf.ecx} * leaf.ebx / leaf.eax;
}

u64 from_hypervisor() {
    if ((cpuid(1).ecx & hypervisor_bit) == 0 || cpuid(0x40000000).eax < 0x40000010)
        return 0;
    return u64{cpuid(0x40000010).eax} * 1000;
}

// Both clocks at one moment.  Being preempted in between would spoil the pair, so the closest of some tries
// counts.
struct Moment {
    u64 tsc = 0;
    u32 count = 0;
};
Moment moment() {
    constexpr int tries = 8;
    Moment best;
    u64 smallest = ~u64{0};
    for (int i = 0; i < tries; ++i) {
        u64 before = read_tsc();
        u32 count = lapic::timer_count();
        u64 width = read_tsc() - before;
        if (width < smallest) {
            smallest = width;
            best = {before + width / 2, count};
        }
    }
    return best;
}

u64 measured() {
    constexpr u32 full = 0xffffffff, ticks = lapic::timer_hz / 100;
    lapic::start_timer(full);
    Moment begin = moment(), end = begin;
    while (begin.count - end.count < ticks)
        end = moment();
    lapic::start_timer(0);
    return (end.tsc - begin.tsc) * lapic::timer_hz / (begin.count - end.count);
}

} // namespace

void Clock::init() {
    start_ = read_tsc();
    if (u64 crystal = from_crystal(); sensible(crystal)) {
        tsc_hz_ = crystal;
        source_ = "cpuid15";
    } else if (u64 told = from_hypervisor(); sensible(told)) {
        tsc_hz_ = told;
        source_ = "hypervisor";
    } else {
        tsc_hz_ = measured();
        source_ = "measured";
    }
    multiplier_ = (second << 32) / tsc_hz_;
}

u64 Clock::now() const {
    u64 tsc = read_tsc();
    u64 ticks = tsc > start_ ? tsc - start_ : 0; // start_ is the first CPU's
    return static_cast<u64>(u128{ticks} * multiplier_ >> 32) + tsc_behind();
}

void Clock::advance_to(u64 moment) {
    if (u64 reached = now(); reached < moment)
        this_cpu().tsc_behind += moment - reached;
}

u64 Clock::tsc_behind() const {
    return this_cpu().tsc_behind;
}

void Clock::wait(u64 nanoseconds) const {
    u64 end = now() + nanoseconds;
    while (now() < end)
        asm volatile("pause");
}

} // namespace guest
