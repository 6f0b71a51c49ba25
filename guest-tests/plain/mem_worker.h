// SPDX-License-Identifier: Apache-2.0
//
// The part of the mem program that one CPU does (guest-tests/guest/programs/mem_worker.h does it on a vCPU):
// it rewrites its pages round after round, and checks each before that and all of them at the end. Keeps
// nothing but its state. Threads: step() on its CPU; the first CPU may look and tell it to finish meanwhile.
#pragma once

#include "guest-tests/guest/base/pacer.h"
#include "guest-tests/guest/programs/page_content.h"
#include "guest-tests/plain/layout.h"
#include "guest-tests/plain/state.h"

namespace godwit::plain {

struct MemPlan {
    PageRange pages;
    PageRange static_pages; // filled once
    std::uint64_t rate = 0; // bytes per second, 0: no limit
    guest::Fill fill = guest::Fill::Random;
    bool verify_static = true;

    // What the command line wants of one of `cpus` workers.
    static MemPlan of(const guest::Options& options, const Layout& layout, std::uint32_t cpu,
                      std::uint32_t cpus);
};

// Whether a state that came from elsewhere stays within the plan.
Status check_state(const CpuState& state, const MemPlan& plan);

class MemWorker {
  public:
    MemWorker(GuestMemory& memory, CpuState& state, const MemPlan& plan);

    // Does a little; the time at which it wants to go on.
    std::uint64_t step(std::uint64_t now);
    void finish();

    WorkerPhase phase() const;
    std::uint64_t generation() const;
    std::uint64_t written() const;
    std::uint64_t verified() const;
    // The page that it found wrong, as it is now. In WorkerPhase::Failed.
    guest::PageError failure() const;

  private:
    std::uint64_t fill_static(std::uint64_t now);
    std::uint64_t write(std::uint64_t now);
    std::uint64_t verify(std::uint64_t now);
    std::uint64_t verify_static(std::uint64_t now);
    std::uint64_t enter(WorkerPhase phase, std::uint64_t now);
    std::uint64_t fail(std::uint64_t now);
    std::uint64_t expected(std::uint64_t page) const;
    bool check(const PageRange& range, std::uint64_t page, std::uint64_t generation, guest::Fill fill);
    void put(const PageRange& range, std::uint64_t page, std::uint64_t generation, guest::Fill fill);

    GuestMemory& memory_;
    CpuState& state_;
    const MemPlan plan_;
    guest::Pacer pacer_;
};

} // namespace godwit::plain
