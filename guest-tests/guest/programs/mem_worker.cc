// SPDX-License-Identifier: Apache-2.0
#include "programs/mem_worker.h"

#include "machine/clock.h"

#include <algorithm>

namespace guest {
namespace {

constexpr u64 static_generation = ~u64{0};

void store_page(u64* page, u64 generation, Fill fill) {
    write_page(page, reinterpret_cast<u64>(page), generation, fill);
}

void count(std::atomic<u64>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1);
}

} // namespace

void MemWorker::begin(Slice pages, Slice static_pages, u64 rate, Fill fill, bool verify_static) {
    pages_ = pages;
    static_pages_ = static_pages;
    rate_ = rate;
    fill_ = fill;
    verify_static_ = verify_static;
    generation_.store(1);
}

u64 MemWorker::enter(Phase phase, u64 now) {
    phase_.store(phase);
    if (&this_cpu() != &cpus[0])
        wake(cpus[0]);
    return now;
}

u64 MemWorker::step(u64 now) {
    switch (phase()) {
    case Phase::FillStatic:
        return fill_static(now);
    case Phase::Write:
        return write(now);
    case Phase::Verify:
        return verify(now);
    case Phase::VerifyStatic:
        return verify_static(now);
    default:
        return now + second;
    }
}

bool MemWorker::check(const u64* page, u64 generation, Fill fill) {
    count(verified_);
    return check_page(page, reinterpret_cast<u64>(page), generation, fill, error_);
}

u64 MemWorker::fill_static(u64 now) {
    u64 end = std::min(check_cursor_ + batch, static_pages_.size());
    for (; check_cursor_ < end; ++check_cursor_)
        store_page(static_pages_.page(check_cursor_), static_generation, Fill::Random);
    if (check_cursor_ < static_pages_.size())
        return now;
    check_cursor_ = 0;
    return enter(Phase::Write, now);
}

u64 MemWorker::write(u64 now) {
    if (finish_.load())
        return enter(Phase::Verify, now);
    if (pages_.size() == 0)
        return now + second;
    if (!paced_) {
        pacer_.begin(rate_, now);
        paced_ = true;
    }
    for (u64 i = 0; i < batch; ++i) {
        if (!pacer_.may(now))
            return pacer_.next(now);
        u64* page = pages_.page(cursor_);
        u64 generation = generation_.load(std::memory_order_relaxed);
        if (generation > 1 &&
            !check(page, generation - 1, fill_)) // in the first round they hold nothing of ours
            return enter(Phase::Failed, now);
        store_page(page, generation, fill_);
        count(written_);
        pacer_.did(page_size);
        if (++cursor_ == pages_.size()) {
            cursor_ = 0;
            count(generation_);
        }
    }
    return now;
}

u64 MemWorker::verify(u64 now) {
    u64 end = std::min(check_cursor_ + batch, pages_.size());
    for (; check_cursor_ < end; ++check_cursor_) {
        u64 generation = generation_.load() - (check_cursor_ < cursor_ ? 0 : 1);
        if (generation > 0 && !check(pages_.page(check_cursor_), generation, fill_))
            return enter(Phase::Failed, now);
    }
    if (check_cursor_ < pages_.size())
        return now;
    check_cursor_ = 0;
    return enter(verify_static_ ? Phase::VerifyStatic : Phase::Done, now);
}

u64 MemWorker::verify_static(u64 now) {
    u64 end = std::min(check_cursor_ + batch, static_pages_.size());
    for (; check_cursor_ < end; ++check_cursor_)
        if (!check(static_pages_.page(check_cursor_), static_generation, Fill::Random))
            return enter(Phase::Failed, now);
    return check_cursor_ < static_pages_.size() ? now : enter(Phase::Done, now);
}

} // namespace guest
