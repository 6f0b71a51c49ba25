// SPDX-License-Identifier: Apache-2.0
//
// Guest RAM while it arrives, over however many connections: which pages came in this round, which were ever
// written, which are suspect. A page whose checksum does not hold while the source's guest runs is only
// *suspect*: the guest may have written to it on its way, then it is dirty at the source and comes again. A
// page that is still suspect when RAM is complete is damage. Nothing is marked dirty here: the machine does
// not run.
//
// Threads: any, between begin_round() and the end of the round; each page belongs to the thread that claimed
// it. The other calls need all of them to rest.
#pragma once

#include "migration/progress.h"
#include "migration/protocol/payloads.h"
#include "migration/ram/page_marks.h"
#include "vmm/memory/guest_memory.h"

#include <atomic>
#include <span>

namespace godwit::migration {

class IncomingRam {
  public:
    enum class Guest { Runs, Paused }; // at the source

    struct Counters {
        std::uint64_t data_pages = 0;
        std::uint64_t zero_pages = 0;
        std::uint64_t repaired_pages = 0;
        std::uint64_t pages() const { return data_pages + zero_pages; }
    };

    // All must outlive it. Guest RAM reads zero.
    IncomingRam(GuestMemory& memory, Progress& progress)
        : memory_(memory), progress_(progress), claimed_(memory.page_count()), touched_(memory.page_count()),
          suspect_(memory.page_count()) {}

    GuestMemory& memory() { return memory_; }

    // No page has come yet in the round that begins.
    void begin_round() { claimed_.clear_all(); }
    // Before anything is written: a page may come once in a round, or the order in which copies of it are
    // written, by one thread or two, would decide what it holds.
    Status claim(std::span<const PageRun> runs);

    // Of claimed pages. `page_crcs` has one for each page; the pages were written.
    Status check(std::span<const PageRun> runs, std::span<const std::uint32_t> page_crcs, Guest guest);
    void zero(std::span<const PageRun> runs);
    void account(std::uint64_t data_pages, std::uint64_t zero_pages, std::uint64_t bytes);

    // When all of RAM should be there.
    Status check_complete() const;
    Counters counters() const { return {data_pages_, zero_pages_, repaired_}; }

  private:
    void clear_range(const PageRun& run);
    void settle(std::uint64_t page);

    GuestMemory& memory_;
    Progress& progress_;
    PageMarks claimed_; // in this round
    PageMarks touched_; // pages that were written here; the others are fresh and read zero
    PageMarks suspect_;
    std::atomic<std::uint64_t> suspects_{0};
    std::atomic<std::uint64_t> repaired_{0};
    std::atomic<std::uint64_t> data_pages_{0};
    std::atomic<std::uint64_t> zero_pages_{0};
};

} // namespace godwit::migration
