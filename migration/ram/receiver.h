// SPDX-License-Identifier: Apache-2.0
//
// Receives pages straight into guest memory. Every run is checked against RAM before a byte of it is read. A
// page whose checksum does not hold while the source's guest runs is only *suspect*: the guest may have
// written to it on its way, then it is dirty at the source and comes again. A page that is still suspect when
// RAM is complete is damage. Nothing is marked dirty here: the machine does not run. One thread.
#pragma once

#include "migration/progress.h"
#include "migration/protocol/session.h"
#include "migration/ram/page_bitmap.h"
#include "vmm/memory/guest_memory.h"

#include <vector>

namespace godwit::migration {

class RamReceiver {
  public:
    enum class Guest { Runs, Paused }; // at the source

    // All must outlive the receiver. Guest RAM reads zero.
    RamReceiver(GuestMemory& memory, DestinationSession& session, Progress& progress)
        : memory_(memory), session_(session), progress_(progress), touched_(memory.page_count()),
          suspect_(memory.page_count()) {}

    // The data of a RAM frame that was received; reads the pages from the session.
    Status data(const Frame& frame, Guest guest);
    Status zero(std::span<const std::byte> body);
    // When all of RAM should be there.
    Status check_complete() const;

    std::uint64_t data_pages() const { return data_pages_; }
    std::uint64_t zero_pages() const { return zero_pages_; }
    std::uint64_t repaired_pages() const { return repaired_; }

  private:
    Status clear_range(const PageRun& run);
    void settle(std::uint64_t page);
    void account(std::uint64_t data_pages, std::uint64_t zero_pages);

    GuestMemory& memory_;
    DestinationSession& session_;
    Progress& progress_;
    PageBitmap touched_; // pages that were written here; the others are fresh and read zero
    PageBitmap suspect_;
    std::uint64_t suspects_ = 0;
    std::uint64_t repaired_ = 0;
    std::uint64_t data_pages_ = 0;
    std::uint64_t zero_pages_ = 0;
    std::vector<iovec> parts_;
};

} // namespace godwit::migration
