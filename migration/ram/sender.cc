// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/sender.h"

#include "migration/protocol/crc32c.h"
#include "migration/ram/zero_page.h"

namespace godwit::migration {

namespace {

// While only zero pages are found nothing is sent: so often a cancel is looked for, and so often the peer
// hears of them.
constexpr std::uint64_t kPagesPerLook = 16384;
constexpr std::uint64_t kZeroPagesPerFrame = 262144;

// Appends a page to runs of pages that follow each other.
void append(std::vector<PageRun>& runs, std::uint64_t page) {
    if (!runs.empty() && runs.back().offset.value / kPageSize + runs.back().pages == page)
        ++runs.back().pages;
    else
        runs.push_back({RamOffset{page * kPageSize}, 1});
}

} // namespace

Result<RoundCount> RamSender::send(const PageBitmap& pages) {
    count_ = {};
    std::uint64_t seen = 0;
    for (std::uint64_t page = pages.next_set(0); page < pages.pages(); page = pages.next_set(page + 1)) {
        if (++seen % kPagesPerLook == 0)
            TRY(session_.check_peer());
        if (is_zero_page(memory_.host(RamOffset{page * kPageSize})))
            TRY(add_zero(page));
        else
            TRY(add_data(page));
    }
    TRY(flush_data());
    TRY(flush_zero());
    return count_;
}

Status RamSender::add_data(std::uint64_t page) {
    append(data_runs_, page);
    // In the cache from the zero check.
    page_crcs_.push_back(crc32c({memory_.host(RamOffset{page * kPageSize}), kPageSize}));
    ++count_.data_pages;
    return page_crcs_.size() == kPagesPerFrame ? flush_data() : Status{};
}

Status RamSender::add_zero(std::uint64_t page) {
    append(zero_runs_, page);
    ++zero_pages_;
    ++count_.zero_pages;
    // A new run may be needed for the next page.
    return zero_runs_.size() == kRangesPerFrame || zero_pages_ == kZeroPagesPerFrame ? flush_zero()
                                                                                     : Status{};
}

Status RamSender::flush_data() {
    if (data_runs_.empty())
        return {};
    TRY(session_.check_peer());
    parts_.clear();
    for (const PageRun& run : data_runs_)
        parts_.push_back({memory_.host(run.offset), run.pages * kPageSize});
    TRY(session_.send(Message::Ram, encode_ram(data_runs_, page_crcs_), parts_));
    account(page_crcs_.size(), 0);
    data_runs_.clear();
    page_crcs_.clear();
    return {};
}

Status RamSender::flush_zero() {
    if (zero_runs_.empty())
        return {};
    TRY(session_.send(Message::RamZero, encode_zero(zero_runs_)));
    account(0, zero_pages_);
    zero_runs_.clear();
    zero_pages_ = 0;
    return {};
}

void RamSender::account(std::uint64_t data_pages, std::uint64_t zero_pages) {
    const std::uint64_t transferred = session_.channel().bytes_written();
    progress_.update([&](ProgressSnapshot& now) {
        now.ram_transferred = transferred;
        now.normal += data_pages;
        now.duplicate += zero_pages;
        now.ram_remaining -= std::min(now.ram_remaining, (data_pages + zero_pages) * kPageSize);
    });
}

} // namespace godwit::migration
