// SPDX-License-Identifier: Apache-2.0
#pragma once
// The part of the mem program that one CPU does: its slice of the pages, and of the static pages.
// At any time pages before the cursor hold the current generation and those behind it the previous one.
// The first CPU reads phase, counters and error; they are written by the worker's CPU alone.
#include "base/pacer.h"
#include "machine/cpu.h"
#include "machine/ram.h"
#include "programs/page_content.h"

#include <atomic>

namespace guest {

class MemWorker final : public CpuTask {
  public:
    enum class Phase : u32 { FillStatic, Write, Verify, VerifyStatic, Done, Failed };

    struct Slice {
        const PageSet* set = nullptr;
        u64 begin = 0, end = 0;
        u64 size() const { return end - begin; }
        u64* page(u64 n) const { return set->page(begin + n); }
    };

    constexpr MemWorker() = default;
    void begin(Slice pages, Slice static_pages, u64 rate, Fill fill, bool verify_static);
    u64 step(u64 now) override;
    void ask_to_finish() { finish_.store(true); }

    Phase phase() const { return phase_.load(); }
    u64 generation() const { return generation_.load(); }
    u64 written() const { return written_.load(); }
    u64 verified() const { return verified_.load(); }
    const PageError& error() const { return error_; } // in phase Failed

  private:
    static constexpr u64 batch = 16; // pages per step

    u64 fill_static(u64 now);
    u64 write(u64 now);
    u64 verify(u64 now);
    u64 verify_static(u64 now);
    bool check(const u64* page, u64 generation, Fill fill);
    u64 enter(Phase phase, u64 now);

    Slice pages_, static_pages_;
    Fill fill_ = Fill::Random;
    bool verify_static_ = true;
    Pacer pacer_;
    u64 rate_ = 0;
    bool paced_ = false;
    u64 cursor_ = 0, check_cursor_ = 0;
    PageError error_;
    std::atomic<Phase> phase_{Phase::FillStatic};
    std::atomic<bool> finish_{false};
    std::atomic<u64> generation_{0}, written_{0}, verified_{0};
};

} // namespace guest
