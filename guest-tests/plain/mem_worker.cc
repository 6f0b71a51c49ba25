// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/mem_worker.h"

#include "guest-tests/plain/pace.h"
#include "guest-tests/plain/spans.h"

#include <algorithm>
#include <atomic>

namespace godwit::plain {

namespace {

constexpr std::uint64_t kPagesPerStep = 16;
constexpr std::uint64_t kStaticGeneration = ~std::uint64_t{0};

// What the first CPU reads while another one works.
template <class T>
T shared(const T& value) {
    return std::atomic_ref{const_cast<T&>(value)}.load();
}
template <class T>
void share(T& value, T now) {
    std::atomic_ref{value}.store(now);
}

RamOffset offset_of(const PageRange& range, std::uint64_t page) {
    return RamOffset{(range.first + page) * kPageSize};
}

} // namespace

MemPlan MemPlan::of(const guest::Options& options, const Layout& layout, std::uint32_t cpu,
                    std::uint32_t cpus) {
    MemPlan plan;
    plan.pages = layout.pages.slice(cpu, cpus);
    plan.static_pages = layout.static_pages.slice(cpu, cpus);
    if (const std::uint64_t rate = options.bytes("mem.rate", 0); rate != 0)
        plan.rate = std::max<std::uint64_t>(rate / cpus, 1);
    plan.fill = options.text("mem.fill", "random") == "pattern" ? guest::Fill::Pattern : guest::Fill::Random;
    plan.verify_static = options.flag("mem.static.verify", true);
    return plan;
}

Status check_state(const CpuState& state, const MemPlan& plan) {
    const bool inside = state.cursor < std::max<std::uint64_t>(plan.pages.count, 1) &&
                        state.check_cursor <= std::max(plan.pages.count, plan.static_pages.count);
    if (!inside)
        return corrupt("cursors {} and {} in {} pages and {} static ones", state.cursor, state.check_cursor,
                       plan.pages.count, plan.static_pages.count);
    return {};
}

MemWorker::MemWorker(GuestMemory& memory, CpuState& state, const MemPlan& plan)
    : memory_(memory), state_(state), plan_(plan) {
    restore(pacer_, state_.pace, plan_.rate);
}

WorkerPhase MemWorker::phase() const {
    return WorkerPhase{shared(state_.phase)};
}
std::uint64_t MemWorker::generation() const {
    return shared(state_.generation);
}
std::uint64_t MemWorker::written() const {
    return shared(state_.written);
}
std::uint64_t MemWorker::verified() const {
    return shared(state_.verified);
}
void MemWorker::finish() {
    share(state_.finish, true);
}

std::uint64_t MemWorker::step(std::uint64_t now) {
    switch (phase()) {
    case WorkerPhase::FillStatic:
        return fill_static(now);
    case WorkerPhase::Write:
        return write(now);
    case WorkerPhase::Verify:
        return verify(now);
    case WorkerPhase::VerifyStatic:
        return verify_static(now);
    case WorkerPhase::Done:
    case WorkerPhase::Failed:
        break;
    }
    return now + kSecond;
}

std::uint64_t MemWorker::enter(WorkerPhase phase, std::uint64_t now) {
    share(state_.phase, static_cast<std::uint8_t>(phase));
    return now;
}

std::uint64_t MemWorker::fail(std::uint64_t now) {
    state_.failed_in = state_.phase;
    return enter(WorkerPhase::Failed, now);
}

void MemWorker::put(const PageRange& range, std::uint64_t page, std::uint64_t generation, guest::Fill fill) {
    const Gpa address = address_of(memory_, offset_of(range, page));
    const GuestWriteSlice slice = *memory_.writable(address, kPageSize);
    guest::write_page(reinterpret_cast<std::uint64_t*>(slice.for_kernel()), address.value, generation, fill);
    slice.wrote(kPageSize);
}

bool MemWorker::check(const PageRange& range, std::uint64_t page, std::uint64_t generation,
                      guest::Fill fill) {
    const RamOffset offset = offset_of(range, page);
    guest::PageError error;
    share(state_.verified, state_.verified + 1);
    return guest::check_page(reinterpret_cast<const std::uint64_t*>(memory_.host(offset)),
                             address_of(memory_, offset).value, generation, fill, error);
}

std::uint64_t MemWorker::fill_static(std::uint64_t now) {
    const std::uint64_t end = std::min(state_.check_cursor + kPagesPerStep, plan_.static_pages.count);
    for (; state_.check_cursor < end; ++state_.check_cursor)
        put(plan_.static_pages, state_.check_cursor, kStaticGeneration, guest::Fill::Random);
    if (state_.check_cursor < plan_.static_pages.count)
        return now;
    state_.check_cursor = 0;
    return enter(WorkerPhase::Write, now);
}

std::uint64_t MemWorker::write(std::uint64_t now) {
    if (shared(state_.finish))
        return enter(WorkerPhase::Verify, now);
    if (plan_.pages.count == 0)
        return now + kSecond;
    begin(pacer_, state_.pace, plan_.rate, now);
    std::uint64_t next = now;
    for (std::uint64_t i = 0; i < kPagesPerStep; ++i) {
        if (!pacer_.may(now)) {
            next = pacer_.next(now);
            break;
        }
        // In the first round they hold nothing of ours.
        if (state_.generation > 1 && !check(plan_.pages, state_.cursor, state_.generation - 1, plan_.fill))
            return fail(now);
        put(plan_.pages, state_.cursor, state_.generation, plan_.fill);
        share(state_.written, state_.written + 1);
        pacer_.did(kPageSize);
        if (++state_.cursor == plan_.pages.count) {
            state_.cursor = 0;
            share(state_.generation, state_.generation + 1);
        }
    }
    keep(pacer_, state_.pace);
    return next;
}

std::uint64_t MemWorker::expected(std::uint64_t page) const {
    return state_.generation - (page < state_.cursor ? 0 : 1);
}

std::uint64_t MemWorker::verify(std::uint64_t now) {
    const std::uint64_t end = std::min(state_.check_cursor + kPagesPerStep, plan_.pages.count);
    for (; state_.check_cursor < end; ++state_.check_cursor) {
        const std::uint64_t generation = expected(state_.check_cursor);
        if (generation > 0 && !check(plan_.pages, state_.check_cursor, generation, plan_.fill))
            return fail(now);
    }
    if (state_.check_cursor < plan_.pages.count)
        return now;
    state_.check_cursor = 0;
    return enter(plan_.verify_static ? WorkerPhase::VerifyStatic : WorkerPhase::Done, now);
}

std::uint64_t MemWorker::verify_static(std::uint64_t now) {
    const std::uint64_t end = std::min(state_.check_cursor + kPagesPerStep, plan_.static_pages.count);
    for (; state_.check_cursor < end; ++state_.check_cursor)
        if (!check(plan_.static_pages, state_.check_cursor, kStaticGeneration, guest::Fill::Random))
            return fail(now);
    return state_.check_cursor < plan_.static_pages.count ? now : enter(WorkerPhase::Done, now);
}

guest::PageError MemWorker::failure() const {
    const auto in = WorkerPhase{state_.failed_in};
    const bool still = in == WorkerPhase::VerifyStatic;
    const std::uint64_t page = in == WorkerPhase::Write ? state_.cursor : state_.check_cursor;
    const std::uint64_t generation = still ? kStaticGeneration : expected(page);
    const RamOffset offset = offset_of(still ? plan_.static_pages : plan_.pages, page);
    guest::PageError error;
    (void)guest::check_page(reinterpret_cast<const std::uint64_t*>(memory_.host(offset)),
                            address_of(memory_, offset).value, generation,
                            still ? guest::Fill::Random : plan_.fill, error);
    return error;
}

} // namespace godwit::plain
