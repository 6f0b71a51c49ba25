// SPDX-License-Identifier: Apache-2.0
//
// Sends pages of guest RAM over one connection: those with data straight from guest memory in frames of up to
// a megabyte, those that read zero as ranges. The guest may write to a page between its checksum and the
// send; the page is then dirty and comes again. One thread per sender.
#pragma once

#include "migration/progress.h"
#include "migration/protocol/session.h"
#include "migration/ram/codec.h"
#include "migration/ram/rate_limit.h"
#include "migration/ram/round_work.h"
#include "vmm/memory/guest_memory.h"

#include <vector>

namespace godwit::migration {

struct RoundCount {
    std::uint64_t data_pages = 0;
    std::uint64_t zero_pages = 0;
    std::uint64_t bytes = 0; // in the channel
    std::uint64_t pages() const { return data_pages + zero_pages; }
    RoundCount& operator+=(const RoundCount& other) {
        data_pages += other.data_pages;
        zero_pages += other.zero_pages;
        bytes += other.bytes;
        return *this;
    }
};

class RamSender {
  public:
    // All must outlive the sender.
    // Without a codec pages go as they are; without a limit as fast as they can.
    RamSender(const GuestMemory& memory, FrameStream& stream, Progress& progress,
              std::unique_ptr<Codec> codec = nullptr, RateLimit* limit = nullptr)
        : memory_(memory), stream_(stream), progress_(progress), codec_(std::move(codec)), limit_(limit) {}

    // Sends what it gets of the round's pages, until none are left.
    Result<RoundCount> send(RoundWork& work);

  private:
    // `next` is the page that will be looked at after it.
    Status add_data(std::uint64_t page, std::uint64_t next);
    Status add_zero(std::uint64_t page);
    Status flush_data();
    Status send_data();
    Status send_packed();
    void begin_frame();
    Status flush_zero();
    void account(std::uint64_t data_pages, std::uint64_t zero_pages);

    const GuestMemory& memory_;
    FrameStream& stream_;
    Progress& progress_;
    std::unique_ptr<Codec> codec_; // may be null
    RateLimit* limit_;             // may be null
    RoundCount count_;
    std::size_t frame_pages_ = kPagesPerFrame; // the most of this frame
    bool packs_ = false;                       // this frame
    std::vector<std::byte> copy_;              // of its pages, when they are compressed: they may change
    std::uint32_t pass_ = 0;    // frames not to try to compress: those before them did not shrink
    std::uint32_t passes_ = 0;  // how many that were last time
    std::uint64_t written_ = 0; // in the channel, when it was looked at last
    std::vector<PageRun> data_runs_;
    std::vector<std::uint32_t> page_crcs_;
    std::vector<PageRun> zero_runs_;
    std::uint64_t zero_pages_ = 0; // in zero_runs_
    std::vector<iovec> parts_;
};

} // namespace godwit::migration
