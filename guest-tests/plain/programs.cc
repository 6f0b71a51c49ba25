// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/programs.h"

#include "guest-tests/plain/spans.h"
#include "vmm/base/fd.h"

#include <algorithm>
#include <atomic>
#include <sys/socket.h>

namespace godwit::plain {

namespace {

constexpr std::uint64_t kFinishPatience = 120 * kSecond;
constexpr std::uint64_t kLongestRun = std::uint64_t{1} << 32; // seconds

Layout layout_of(const guest::Options& options, const GuestMemory& memory, const virtio::BlkImage* disk) {
    return Layout::of(options, memory.size(), disk == nullptr ? 0 : disk->sectors() * 512);
}

DiskPlan disk_plan_of(const guest::Options& options, const Layout& layout, const virtio::BlkImage* disk) {
    return DiskPlan::of(options, layout, disk != nullptr && disk->readonly());
}

// What no vCPU's thread may do (vmm/sandbox), for the tests of that.
void trespass() {
    (void)Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// A report line that fails the whole run.
class Failure : public Report {
  public:
    Failure(Output& output, ProgramsState& state, std::string_view program, std::string_view what)
        : Report(output, "fail") {
        add("prog", program).add("what", what);
        ++state.failures;
    }
};

std::string_view name_of(const guest::PageError& error) {
    if (error.found_address != error.address)
        return "wrong_page";
    return error.found_generation != error.generation ? "wrong_generation" : "wrong_content";
}

} // namespace

Programs::Programs(const Machine& machine, State& state)
    : machine_(machine), state_(state), options_(load_command_line(machine.memory)),
      layout_(layout_of(options_, machine.memory, machine.disk)),
      output_(machine.memory, state.programs, machine.serial) {
    const auto cpus = static_cast<std::uint32_t>(state_.cpus.size());
    if (layout_.mem && layout_.mem_fits)
        for (std::uint32_t i = 0; i < cpus; ++i)
            workers_.emplace_back(machine_.memory, state_.cpus[i], MemPlan::of(options_, layout_, i, cpus));
    if (layout_.disk && layout_.disk_fits)
        disk_.emplace(
            machine_.memory, *machine_.disk, state_.disk, disk_plan_of(options_, layout_, machine_.disk),
            [this](std::string_view what, std::uint64_t block, std::uint64_t detail) {
                Failure(output_, state_.programs, "disk", what).add("block", block).add("detail", detail);
            });
    if (layout_.heartbeat)
        heartbeat_.emplace(state_.heartbeat, options_);
}

Status Programs::check(const GuestMemory& memory, const virtio::BlkImage* disk, std::uint32_t cpu,
                       std::uint32_t cpus, const CpuState& state) {
    const guest::Options options = load_command_line(memory);
    return check_state(state, MemPlan::of(options, layout_of(options, memory, disk), cpu, cpus));
}

Status Programs::check(const GuestMemory& memory, const virtio::BlkImage* disk, const DiskState& state) {
    const guest::Options options = load_command_line(memory);
    return check_state(state, disk_plan_of(options, layout_of(options, memory, disk), disk));
}

std::uint64_t Programs::step(std::uint32_t cpu, std::uint64_t now) {
    if (cpu == 0)
        return first_cpu(now);
    if (workers_.empty())
        return now + kSecond;
    const WorkerPhase before = workers_[cpu].phase();
    const std::uint64_t next = workers_[cpu].step(now);
    if (workers_[cpu].phase() != before)
        machine_.wake_all(); // the first CPU waits for this
    return next;
}

// ---- the first CPU

std::uint64_t Programs::first_cpu(std::uint64_t now) {
    output_.send();
    if (!output_.has_room())
        return now + kMillisecond;
    const std::uint64_t next = take_turn(now);
    output_.send();
    return output_.empty() ? next : std::min(next, now + kMillisecond);
}

std::uint64_t Programs::take_turn(std::uint64_t now) {
    switch (stage()) {
    case Stage::Boot:
        boot();
        return now;
    case Stage::Filling:
    case Stage::Running: {
        const std::uint64_t next = work(now);
        run(now);
        return stage() == Stage::Finishing ? now : next;
    }
    case Stage::Finishing: {
        const std::uint64_t next = work(now);
        finish(now);
        return stage() == Stage::Leaving ? now : next;
    }
    case Stage::Leaving:
        if (!output_.empty())
            return now + kMillisecond;
        enter(Stage::Off);
        options_.has_item("prog", "reset") ? machine_.reset() : machine_.power_off();
        break;
    case Stage::Off:
        break;
    }
    return now + kSecond;
}

void Programs::boot() {
    output_.begin();
    Report(output_, "boot")
        .add("cpus", state_.cpus.size())
        .add("ram", machine_.memory.size())
        .add("cmdline", fmt::format("\"{}\"", options_.line()));
    const BootImages images = load_boot_images(machine_.memory);
    Report(output_, "booted")
        .add("kernel", images.kernel.size)
        .add_hex("kernel_crc32c", images.kernel.sum)
        .add("initrd", images.initrd.size)
        .add_hex("initrd_crc32c", images.initrd.sum);
    Report(output_, "cpus")
        .add("online", state_.cpus.size())
        .add("tsc_hz", kSecond) // the guest's clock counts nanoseconds
        .add("tsc_source", "plain")
        .add("bad_tables", 0);
    if (layout_.mem) {
        Report(output_, "mem")
            .add("size", layout_.pages.count * kPageSize)
            .add("static", layout_.static_pages.count * kPageSize)
            .add("rate", options_.bytes("mem.rate", 0))
            .add("fill", options_.text("mem.fill", "random") == "pattern" ? "pattern" : "random")
            .add("workers", workers_.size());
        if (!layout_.mem_fits)
            Failure(output_, state_.programs, "mem", "not_enough_ram");
    }
    if (disk_)
        disk_->start_line(output_);
    else if (options_.has_item("prog", "disk"))
        Failure(output_, state_.programs, "disk", layout_.disk ? "span_does_not_fit" : "no_usable_device");
    if (heartbeat_)
        heartbeat_->start_line(output_);
    enter(Stage::Filling);
}

// One step of each program.
std::uint64_t Programs::work(std::uint64_t now) {
    const bool finishing = stage() == Stage::Finishing;
    std::uint64_t next = now + kSecond;
    if (!workers_.empty()) {
        next = std::min(next, workers_[0].step(now));
        look_for_wrong_pages();
    }
    if (disk_)
        next = std::min(next, disk_->step(now, finishing));
    if (heartbeat_ && !finishing)
        next = std::min(next, heartbeat_->step(now, output_));
    return next;
}

void Programs::look_for_wrong_pages() {
    for (std::uint32_t i = 0; i < workers_.size() && !state_.programs.mem_failure_told; ++i) {
        if (workers_[i].phase() != WorkerPhase::Failed)
            continue;
        state_.programs.mem_failure_told = true;
        const guest::PageError error = workers_[i].failure();
        Failure(output_, state_.programs, "mem", name_of(error))
            .add("cpu", i)
            .add_hex("page", error.address)
            .add_hex("found_page", error.found_address)
            .add("generation", error.generation)
            .add("found_generation", error.found_generation)
            .add("word", error.word)
            .add_hex("expected", error.expected_value)
            .add_hex("found", error.found_value);
    }
}

void Programs::run(std::uint64_t now) {
    if (stage() == Stage::Filling && all_workers(WorkerPhase::Write)) {
        enter(Stage::Running);
        Report(output_, "ready").add("ns", now);
        if (const std::uint64_t seconds = options_.number("time", 0); seconds != 0)
            state_.programs.ends_at = now + std::min(seconds, kLongestRun) * kSecond;
    }
    const int said = output_.input();
    if (said == 's')
        print_status();
    if (said == 't')
        trespass();
    if (state_.programs.failures != 0)
        begin_finish("failure", now);
    else if (std::atomic_ref{state_.programs.power_button}.load())
        begin_finish("power_button", now);
    else if (said == 'q')
        begin_finish("console", now);
    else if (state_.programs.ends_at != 0 && now >= state_.programs.ends_at)
        begin_finish("time", now);
}

void Programs::begin_finish(std::string_view why, std::uint64_t now) {
    Report(output_, "finish").add("why", why);
    state_.programs.gives_up_at = now + kFinishPatience;
    for (MemWorker& worker : workers_)
        worker.finish();
    enter(Stage::Finishing);
    machine_.wake_all();
}

void Programs::finish(std::uint64_t now) {
    const bool mem = all_workers(WorkerPhase::Done), disk = !disk_ || disk_->verified();
    if (!(mem && disk) && now < state_.programs.gives_up_at)
        return;
    if (!mem)
        Failure(output_, state_.programs, "mem", "does_not_finish");
    if (!disk)
        Failure(output_, state_.programs, "disk", "does_not_finish");
    print_status();
    Report(output_, "exit").add("status", state_.programs.failures != 0 ? 1 : 0);
    if (options_.has_item("prog", "reset"))
        Report(output_, "reset");
    enter(Stage::Leaving);
}

bool Programs::all_workers(WorkerPhase reached) const {
    return std::ranges::all_of(workers_, [&](const MemWorker& worker) { return worker.phase() >= reached; });
}

void Programs::print_status() {
    if (!workers_.empty())
        print_mem();
    if (disk_)
        disk_->print_status(output_);
    if (heartbeat_)
        heartbeat_->print_status(output_);
}

void Programs::print_mem() {
    std::uint64_t pass = ~std::uint64_t{0}, written = 0, verified = 0, errors = 0;
    for (const MemWorker& worker : workers_) {
        pass = std::min(pass, worker.generation());
        written += worker.written();
        verified += worker.verified();
        errors += worker.phase() == WorkerPhase::Failed;
    }
    Report(output_, "mem")
        .add("pass", pass)
        .add("pages", layout_.pages.count)
        .add("static_pages", layout_.static_pages.count)
        .add("writes", written)
        .add("checks", verified)
        .add("errors", errors);
}

} // namespace godwit::plain
