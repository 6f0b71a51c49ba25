// SPDX-License-Identifier: Apache-2.0
// The first CPU's way through the guest: read what the loader left, start CPUs and programs, take turns until
// the end is due, finish, power off.
//   prog=hello,mem,disk,net,rng,channel,cpuid,heartbeat,reset,panic (all: mem,disk,net,heartbeat)
//   time=SECONDS
#include "base/options.h"
#include "boot/start_info.h"
#include "machine/acpi.h"
#include "machine/clock.h"
#include "machine/cpu.h"
#include "machine/gate.h"
#include "machine/interrupts.h"
#include "machine/power.h"
#include "machine/ram.h"
#include "machine/serial.h"
#include "programs/programs.h"

#include <algorithm>

namespace guest {
namespace {

constexpr u64 console_period = 20 * millisecond;
constexpr u64 finish_patience = 120 * second;

bool wanted(std::string_view program) {
    return options.has_item("prog", program) || (options.has_item("prog", "all") && program != "channel" &&
                                                 program != "rng" && program != "cpuid");
}

struct Running {
    std::array<Program*, programs.size()> list{};
    std::size_t count = 0;

    Program* const* begin() const { return list.data(); }
    Program* const* end() const { return list.data() + count; }
    bool ready() const {
        return std::all_of(begin(), end(), [](const Program* p) { return p->ready(); });
    }
    bool finished() const {
        return std::all_of(begin(), end(), [](const Program* p) { return p->finished(); });
    }
    void print_status() const {
        for (const Program* program : *this)
            program->print_status();
    }
};

// Steps all programs and sleeps, until `done` says so.
template <class Done>
void take_turns(const Running& running, Done&& done) {
    for (;;) {
        u32 seen = this_cpu().irq_total;
        interrupts::service();
        u64 next = clock.now() + console_period;
        for (Program* program : running)
            next = std::min(next, program->step(clock.now()));
        if (done(clock.now()))
            return;
        sleep_until(next, seen);
    }
}

// q: finish; s: print status lines
bool console_says_finish(const Running& running, u64 now) {
    static constinit u64 next = 0;
    if (now < next)
        return false;
    next = now + console_period;
    int c = serial::poll();
    if (c == 's')
        running.print_status();
    return c == 'q';
}

void read_start_info(const StartInfo* info) {
    if (info == nullptr || info->magic != StartInfo::expected_magic)
        return;
    if (info->cmdline != 0)
        options.set(reinterpret_cast<const char*>(info->cmdline));
    if (info->version >= 1 && info->memmap != 0)
        ram.init(reinterpret_cast<const MemoryMapEntry*>(info->memmap), info->memmap_entries);
    read_acpi(info->rsdp);
    platform.cpu_count = std::max(platform.cpu_count, 1u); // no usable MADT: the one that we are on
}

void start_machine() {
    init_first_cpu();
    clock.init();
    u32 online = start_other_cpus();
    interrupts::init();
    Report("cpus")
        .add("online", online)
        .add("tsc_hz", clock.tsc_hz())
        .add("tsc_source", clock.source())
        .add("bad_tables", platform.bad_tables);
    if (online < platform.cpu_count)
        Failure("boot", "cpu_does_not_start").add("index", online);
}

void run_programs() {
    Running running;
    for (Program* program : programs)
        if (wanted(program->name()) && program->start())
            running.list[running.count++] = program;
    if (running.count == 0)
        return;

    bool ready = false;
    std::string_view why = "time";
    u64 end = ~u64{0};
    take_turns(running, [&](u64 now) {
        if (!ready && running.ready()) {
            ready = true;
            Report("ready").add("ns", now);
            if (u64 seconds = options.number("time", 0); seconds != 0)
                end = now + seconds * second;
        }
        if (failures != 0)
            why = "failure";
        else if (interrupts::power_button())
            why = "power_button";
        else if (console_says_finish(running, now))
            why = "console";
        else
            return now >= end;
        return true;
    });
    Report("finish").add("why", why);
    for (Program* program : running)
        program->begin_finish();
    u64 give_up = clock.now() + finish_patience;
    take_turns(running, [&](u64 now) { return running.finished() || now > give_up; });
    for (const Program* program : running)
        if (!program->finished())
            Failure(program->name(), "does_not_finish");
    running.print_status();
}

[[noreturn]] void leave() {
    if (options.has_item("prog", "panic")) {
        Report("panic");
        gate::triple_fault();
    }
    Report("exit").add("status", failures != 0 ? 1 : 0);
    if (options.has_item("prog", "reset")) {
        Report("reset");
        power::reset(options.text("reset.by", "acpi"));
    }
    power::off();
}

} // namespace
} // namespace guest

extern "C" [[noreturn]] void guest_main(const guest::StartInfo* info) {
    using namespace guest;
    read_start_info(info);
    Report("boot")
        .add("cpus", platform.cpu_count)
        .add("ram", ram.total())
        .add_quoted("cmdline", options.line());
    serial::init();
    start_machine();
    if (options.text("prog", "hello") == "hello" || options.has_item("prog", "hello"))
        Report("hello").add("cpus", platform.cpu_count).add("ram", ram.total());
    run_programs();
    leave();
}
