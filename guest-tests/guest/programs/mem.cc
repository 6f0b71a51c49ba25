// SPDX-License-Identifier: Apache-2.0
#include "programs/mem.h"

#include "base/options.h"
#include "machine/ram.h"

#include <algorithm>

namespace guest {
namespace {

constexpr u64 reserve = 4 * MiB; // left to drivers and to the disk program's table

u64 fitting(u64 wanted) {
    u64 available = ram.available();
    return std::min(wanted, available > reserve ? available - reserve : 0);
}

MemWorker::Slice slice(const PageSet& set, u32 part, u32 parts) {
    return {&set, set.count() * part / parts, set.count() * (part + 1) / parts};
}

u32 online_cpus() {
    u32 count = 0;
    while (count < MAX_CPUS && cpus[count].online.load() != 0)
        ++count;
    return count;
}

} // namespace

bool Mem::start() {
    Fill fill = options.text("mem.fill", "random") == "pattern" ? Fill::Pattern : Fill::Random;
    u64 rate = options.bytes("mem.rate", 0), wanted_static = options.bytes("mem.static", 0);
    u64 wanted = options.bytes("mem.size", 64 * MiB);
    static_pages_ = ram.take_pages(fitting(wanted_static));
    pages_ = ram.take_pages(fitting(wanted));
    used_ = options.flag("smp", true) ? online_cpus() : 1;
    Report("mem")
        .add("size", pages_.count() * page_size)
        .add("static", static_pages_.count() * page_size)
        .add("rate", rate)
        .add("fill", fill == Fill::Random ? "random" : "pattern")
        .add("workers", used_);
    if (pages_.count() * page_size < align_down(wanted, page_size) ||
        static_pages_.count() * page_size < align_down(wanted_static, page_size)) {
        Failure("mem", "not_enough_ram");
        return false;
    }
    u64 worker_rate = rate == 0 ? 0 : std::max<u64>(rate / used_, 1);
    bool verify_static = options.flag("mem.static.verify", true);
    for (u32 i = 0; i < used_; ++i) {
        workers_[i].begin(slice(pages_, i, used_), slice(static_pages_, i, used_), worker_rate, fill,
                          verify_static);
        if (i > 0) {
            cpus[i].task.store(&workers_[i]);
            wake(cpus[i]);
        }
    }
    return true;
}

bool Mem::all_reached(MemWorker::Phase phase) const {
    for (u32 i = 0; i < used_; ++i)
        if (workers_[i].phase() < phase)
            return false;
    return true;
}

bool Mem::ready() const {
    return all_reached(MemWorker::Phase::Write);
}
bool Mem::finished() const {
    return all_reached(MemWorker::Phase::Done);
}

void Mem::begin_finish() {
    for (u32 i = 0; i < used_; ++i) {
        workers_[i].ask_to_finish();
        if (i > 0)
            wake(cpus[i]);
    }
}

u64 Mem::step(u64 now) {
    u64 next = workers_[0].step(now);
    for (u32 i = 0; i < used_ && !reported_error_; ++i) {
        if (workers_[i].phase() != MemWorker::Phase::Failed)
            continue;
        reported_error_ = true;
        const PageError& e = workers_[i].error();
        Failure("mem", e.found_address != e.address         ? "wrong_page"
                       : e.found_generation != e.generation ? "wrong_generation"
                                                            : "wrong_content")
            .add("cpu", i)
            .add_hex("page", e.address)
            .add_hex("found_page", e.found_address)
            .add("generation", e.generation)
            .add("found_generation", e.found_generation)
            .add("word", e.word)
            .add_hex("expected", e.expected_value)
            .add_hex("found", e.found_value);
    }
    return next;
}

void Mem::print_status() const {
    u64 written = 0, verified = 0, pass = ~u64{0}, errors = 0;
    for (u32 i = 0; i < used_; ++i) {
        written += workers_[i].written();
        verified += workers_[i].verified();
        pass = std::min(pass, workers_[i].generation());
        errors += workers_[i].phase() == MemWorker::Phase::Failed;
    }
    Report("mem")
        .add("pass", used_ == 0 ? 0 : pass)
        .add("pages", pages_.count())
        .add("static_pages", static_pages_.count())
        .add("writes", written)
        .add("checks", verified)
        .add("errors", errors);
}

} // namespace guest
