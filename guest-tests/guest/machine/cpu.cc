// SPDX-License-Identifier: Apache-2.0
#include "machine/cpu.h"

#include "machine/acpi.h"
#include "machine/clock.h"
#include "machine/gate.h"
#include "machine/lapic.h"

#include <algorithm>

extern "C" {
extern const char trampoline_begin[], trampoline_end[], kernel_stacks[], user_stacks[];
void application_cpu_user_entry();

guest::Cpu guest::cpus[MAX_CPUS];
constinit guest::CpuStart application_cpu_start{};
}

namespace guest {
namespace {

constexpr u64 start_patience = 2 * second;

// One at a time, because they share application_cpu_start.
bool start(Cpu& cpu) {
    u64 above = cpu.index + 1;
    application_cpu_start = {
        .tss_selector = SELECTOR_TSS + u64{cpu.index} * 16,
        .kernel_stack = reinterpret_cast<u64>(kernel_stacks) + above * KERNEL_STACK_SIZE,
        .cpu = reinterpret_cast<u64>(&cpu),
        .user_stack = reinterpret_cast<u64>(user_stacks) + above * USER_STACK_SIZE,
        .user_entry = reinterpret_cast<u64>(&application_cpu_user_entry),
        .argument = reinterpret_cast<u64>(&cpu),
    };
    lapic::send_init(cpu.apic_id);
    clock.wait(10 * microsecond);
    lapic::send_startup(cpu.apic_id, TRAMPOLINE);
    for (u64 end = clock.now() + start_patience; clock.now() < end;) {
        u32 seen = this_cpu().irq_total;
        if (cpu.online.load() != 0)
            return true;
        sleep_until(clock.now() + 10 * millisecond, seen); // the new CPU sends a wake-up
    }
    return false;
}

// A timer that has fired is not set any more, however far ahead its deadline seems to lie.
void take_timer(Cpu& cpu) {
    if (cpu.irq_count[VECTOR_TIMER] == cpu.timer_fires)
        return;
    cpu.timer_fires = cpu.irq_count[VECTOR_TIMER];
    clock.advance_to(cpu.timer_deadline);
    cpu.timer_deadline = 0;
}

void set_timer(Cpu& cpu, u64 now, u64 deadline) {
    u32 fires = cpu.irq_count[VECTOR_TIMER];
    lapic::start_timer(static_cast<u32>(deadline - now));
    cpu.timer_fires = cpu.irq_count[VECTOR_TIMER];
    cpu.timer_deadline =
        cpu.timer_fires == fires ? deadline : 0; // else it is unknown whether the old one fired
}

} // namespace

void init_first_cpu() {
    Cpu& cpu = cpus[0];
    cpu.self = &cpu;
    lapic::init();
    cpu.apic_id = lapic::id();
    cpu.online.store(1);
}

u32 start_other_cpus() {
    memcpy(reinterpret_cast<void*>(u64{TRAMPOLINE}), trampoline_begin,
           static_cast<std::size_t>(trampoline_end - trampoline_begin));
    u32 count = 1;
    for (u32 i = 0; i < platform.cpu_count && count < MAX_CPUS; ++i) {
        if (platform.apic_ids[i] == cpus[0].apic_id)
            continue;
        Cpu& cpu = cpus[count];
        cpu.self = &cpu;
        cpu.index = count;
        cpu.apic_id = platform.apic_ids[i];
        if (!start(cpu))
            break;
        ++count;
    }
    return count;
}

void wake(Cpu& cpu) {
    lapic::send_vector(cpu.apic_id, VECTOR_WAKE);
}

void sleep_until(u64 deadline, u32 seen) {
    constexpr u64 shortest = 20 * microsecond, longest = second;
    Cpu& cpu = this_cpu();
    take_timer(cpu);
    u64 now = clock.now();
    if (deadline <= now + shortest)
        return;
    deadline = std::min(deadline, now + longest);
    if (cpu.timer_deadline <= now || cpu.timer_deadline > deadline) // else it is set, and early enough
        set_timer(cpu, now, deadline);
    gate::halt_unless_changed(&cpu.irq_total, seen);
}

extern "C" [[noreturn]] void application_cpu_main(Cpu* cpu) {
    lapic::init();
    cpu->online.store(1);
    wake(cpus[0]);
    for (;;) {
        u32 seen = cpu->irq_total;
        CpuTask* task = cpu->task.load();
        u64 now = clock.now();
        sleep_until(task != nullptr ? task->step(now) : now + second, seen);
    }
}

} // namespace guest
