// SPDX-License-Identifier: Apache-2.0
#pragma once
// One block per CPU, reached through GS; starting the others; sleeping.
//   u32 seen = this_cpu().irq_total;  ...look for work...;  sleep_until(deadline, seen);
// The first CPU runs the programs.  Each other CPU runs the one task that it is given, or sleeps.
#include "base/types.h"
#include "boot/layout.h"

#include <array>
#include <atomic>
#include <cstddef>

namespace guest {

// Work for a CPU: does a slice, says when the next one is due (nanoseconds, Clock).
class CpuTask {
  public:
    virtual u64 step(u64 now) = 0;

  protected:
    constexpr CpuTask() = default;
    ~CpuTask() = default;
};

struct Cpu {
    Cpu* self;
    u32 index, apic_id;
    volatile u32 irq_total; // all interrupts so far
    std::atomic<u32> online;
    std::atomic<CpuTask*> task;
    volatile u32 irq_count[256]; // by vector
    u64 timer_deadline;          // what the timer is set to; 0: not set
    u32 timer_fires;             // irq_count of the timer when it was set
    u64 tsc_behind;              // nanoseconds, see Clock::advance_to
};
static_assert(offsetof(Cpu, irq_total) == CPU_IRQ_TOTAL);
static_assert(offsetof(Cpu, irq_count) == CPU_IRQ_COUNT);

struct CpuStart {
    u64 tss_selector, kernel_stack, cpu, user_stack, user_entry, argument;
};
static_assert(offsetof(CpuStart, tss_selector) == START_TSS_SELECTOR);
static_assert(offsetof(CpuStart, kernel_stack) == START_KERNEL_STACK);
static_assert(offsetof(CpuStart, cpu) == START_CPU);
static_assert(offsetof(CpuStart, user_stack) == START_USER_STACK);
static_assert(offsetof(CpuStart, user_entry) == START_USER_ENTRY);
static_assert(offsetof(CpuStart, argument) == START_ARGUMENT);

extern "C" Cpu cpus[MAX_CPUS];

inline Cpu& this_cpu() {
    Cpu* cpu;
    asm("mov %%gs:0, %0" : "=r"(cpu));
    return *cpu;
}

void init_first_cpu();
u32 start_other_cpus(); // those of `platform`; returns how many CPUs there are in all
void wake(Cpu& cpu);

// Halts until the deadline or the next interrupt; not at all if there was an interrupt since `seen` was
// taken.
void sleep_until(u64 deadline, u32 seen);

} // namespace guest
