// SPDX-License-Identifier: Apache-2.0
//
// Sends pages of guest RAM: those with data straight from guest memory in frames of up to a megabyte, those
// that read zero as ranges. The guest may write to a page between its checksum and the send; the page is then
// dirty and comes again. One thread.
#pragma once

#include "migration/progress.h"
#include "migration/protocol/session.h"
#include "migration/ram/page_bitmap.h"
#include "vmm/memory/guest_memory.h"

#include <vector>

namespace godwit::migration {

struct RoundCount {
    std::uint64_t data_pages = 0;
    std::uint64_t zero_pages = 0;
    std::uint64_t pages() const { return data_pages + zero_pages; }
};

class RamSender {
  public:
    // All must outlive the sender.
    RamSender(const GuestMemory& memory, SourceSession& session, Progress& progress)
        : memory_(memory), session_(session), progress_(progress) {}

    // Sends every page whose bit is set, in ascending order.
    Result<RoundCount> send(const PageBitmap& pages);

  private:
    Status add_data(std::uint64_t page);
    Status add_zero(std::uint64_t page);
    Status flush_data();
    Status flush_zero();
    void account(std::uint64_t data_pages, std::uint64_t zero_pages);

    const GuestMemory& memory_;
    SourceSession& session_;
    Progress& progress_;
    RoundCount count_;
    std::vector<PageRun> data_runs_;
    std::vector<std::uint32_t> page_crcs_;
    std::vector<PageRun> zero_runs_;
    std::uint64_t zero_pages_ = 0; // in zero_runs_
    std::vector<iovec> parts_;
};

} // namespace godwit::migration
