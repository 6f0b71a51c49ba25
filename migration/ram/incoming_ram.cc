// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/incoming_ram.h"

#include "migration/protocol/crc32c.h"

#include <cstring>
#include <sys/mman.h>

namespace godwit::migration {

namespace {
// From so many pages on a range is given back to the host instead of being overwritten.
constexpr std::uint32_t kDiscardPages = 512;

std::uint64_t first_page(const PageRun& run) {
    return run.offset.value / kPageSize;
}
} // namespace

Status IncomingRam::claim(std::span<const PageRun> runs) {
    for (const PageRun& run : runs)
        if (!claimed_.set_run(first_page(run), run.pages))
            return error(ErrorCode::Protocol, "a page of the {} at {} comes a second time in one round",
                         run.pages, run.offset);
    return {};
}

Status IncomingRam::check(std::span<const PageRun> runs, std::span<const std::uint32_t> page_crcs,
                          Guest guest) {
    auto expected = page_crcs.begin();
    for (const PageRun& run : runs) {
        touched_.set_run(first_page(run), run.pages);
        for (std::uint32_t i = 0; i < run.pages; ++i) {
            const RamOffset offset{run.offset.value + i * kPageSize};
            const std::uint64_t page = offset.value / kPageSize;
            const std::byte* const at = memory_.host(offset);
            const std::byte* const next = i + 1 < run.pages ? at + kPageSize : nullptr;
            if (crc32c({at, kPageSize}, 0, next) == *expected++)
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
    return {};
}

void IncomingRam::zero(std::span<const PageRun> runs) {
    for (const PageRun& run : runs)
        clear_range(run);
}

void IncomingRam::clear_range(const PageRun& run) {
    const std::uint64_t first = first_page(run);
    const std::uint64_t end = first + run.pages;
    const std::uint64_t first_touched = touched_.next_set(first);
    if (first_touched >= end)
        return; // all fresh: touching them would only cost memory
    if (run.pages >= kDiscardPages &&
        ::madvise(memory_.host(run.offset), run.pages * kPageSize, MADV_DONTNEED) == 0) {
        for (std::uint64_t page = first_touched; page < end; page = touched_.next_set(page + 1)) {
            settle(page);
            touched_.clear(page);
        }
        return;
    }
    for (std::uint64_t page = first_touched; page < end; page = touched_.next_set(page + 1)) {
        std::memset(memory_.host(RamOffset{page * kPageSize}), 0, kPageSize);
        settle(page);
    }
}

// The page now has what the source sent.
void IncomingRam::settle(std::uint64_t page) {
    if (suspects_ == 0 || !suspect_.test(page))
        return;
    suspect_.clear(page);
    --suspects_;
    ++repaired_;
}

Status IncomingRam::check_complete() const {
    if (suspects_ == 0)
        return {};
    return corrupt("{} pages were damaged on their way, the first at {}", suspects_.load(),
                   RamOffset{suspect_.next_set(0) * kPageSize});
}

void IncomingRam::account(std::uint64_t data_pages, std::uint64_t zero_pages, std::uint64_t bytes) {
    data_pages_ += data_pages;
    zero_pages_ += zero_pages;
    progress_.update([&](ProgressSnapshot& now) {
        now.ram_transferred += bytes;
        now.normal += data_pages;
        now.duplicate += zero_pages;
        now.ram_remaining -= std::min(now.ram_remaining, (data_pages + zero_pages) * kPageSize);
    });
}

} // namespace godwit::migration
