// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/receiver.h"

#include "migration/protocol/crc32c.h"

#include <cstring>
#include <sys/mman.h>

namespace godwit::migration {

namespace {
// From so many pages on a range is given back to the host instead of being overwritten.
constexpr std::uint32_t kDiscardPages = 512;
} // namespace

Status RamReceiver::data(const Frame& frame, Guest guest) {
    const RamBody ram = TRY(decode_ram(frame.body, frame.data_length, memory_.size()));
    parts_.clear();
    for (const PageRun& run : ram.runs) {
        parts_.push_back({memory_.host(run.offset), run.pages * kPageSize});
        for (std::uint32_t i = 0; i < run.pages; ++i)
            touched_.set(run.offset.value / kPageSize + i);
    }
    TRY(session_.receive_data(parts_));

    auto expected = ram.page_crcs.begin();
    for (const PageRun& run : ram.runs) {
        for (std::uint32_t i = 0; i < run.pages; ++i) {
            const RamOffset offset{run.offset.value + i * kPageSize};
            const std::uint64_t page = offset.value / kPageSize;
            if (crc32c({memory_.host(offset), kPageSize}) == *expected++)
                settle(page);
            else if (guest == Guest::Paused)
                return corrupt("the checksum of the page at {} does not hold, and the guest was paused",
                               offset);
            else if (!suspect_.test(page)) {
                suspect_.set(page);
                ++suspects_;
            }
        }
    }
    account(ram.page_crcs.size(), 0);
    return {};
}

Status RamReceiver::zero(std::span<const std::byte> body) {
    const auto runs = TRY(decode_zero(body, memory_.size()));
    std::uint64_t pages = 0;
    for (const PageRun& run : runs) {
        TRY(clear_range(run));
        pages += run.pages;
    }
    account(0, pages);
    return {};
}

Status RamReceiver::clear_range(const PageRun& run) {
    const std::uint64_t first = run.offset.value / kPageSize;
    const std::uint64_t end = first + run.pages;
    const std::uint64_t first_touched = touched_.next_set(first);
    if (first_touched >= end)
        return {}; // all fresh: touching them would only cost memory
    if (run.pages >= kDiscardPages &&
        ::madvise(memory_.host(run.offset), run.pages * kPageSize, MADV_DONTNEED) == 0) {
        for (std::uint64_t page = first_touched; page < end; page = touched_.next_set(page + 1)) {
            settle(page);
            touched_.clear(page);
        }
        return {};
    }
    for (std::uint64_t page = first_touched; page < end; page = touched_.next_set(page + 1)) {
        std::memset(memory_.host(RamOffset{page * kPageSize}), 0, kPageSize);
        settle(page);
    }
    return {};
}

// The page now has what the source sent.
void RamReceiver::settle(std::uint64_t page) {
    if (suspects_ == 0 || !suspect_.test(page))
        return;
    suspect_.clear(page);
    --suspects_;
    ++repaired_;
}

Status RamReceiver::check_complete() const {
    if (suspects_ == 0)
        return {};
    return corrupt("{} pages were damaged on their way, the first at {}", suspects_,
                   RamOffset{suspect_.next_set(0) * kPageSize});
}

void RamReceiver::account(std::uint64_t data_pages, std::uint64_t zero_pages) {
    data_pages_ += data_pages;
    zero_pages_ += zero_pages;
    const std::uint64_t transferred = session_.channel().bytes_read();
    progress_.update([&](ProgressSnapshot& now) {
        now.ram_transferred = transferred;
        now.normal += data_pages;
        now.duplicate += zero_pages;
        now.ram_remaining -= std::min(now.ram_remaining, (data_pages + zero_pages) * kPageSize);
    });
}

} // namespace godwit::migration
