// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/sender.h"

#include "migration/protocol/crc32c.h"
#include "migration/ram/zero_page.h"

namespace godwit::migration {

namespace {

// While only zero pages are found nothing is sent: so often a cancel is looked for, and so often the peer
// hears of them.
constexpr std::uint64_t kRangesPerLook = 32;
constexpr std::uint64_t kZeroPagesPerFrame = 262144;
// Frames that go as they are after some that did not shrink.
constexpr std::uint32_t kMostPasses = 15;

// Appends a page to runs of pages that follow each other.
void append(std::vector<PageRun>& runs, std::uint64_t page) {
    if (!runs.empty() && runs.back().offset.value / kPageSize + runs.back().pages == page)
        ++runs.back().pages;
    else
        runs.push_back({RamOffset{page * kPageSize}, 1});
}

} // namespace

Result<RoundCount> RamSender::send(RoundWork& work) {
    count_ = {};
    written_ = stream_.channel().bytes_written();
    std::uint64_t ranges = 0;
    while (const auto range = work.next()) {
        if (++ranges % kRangesPerLook == 0)
            TRY(stream_.check_peer());
        const PageBitmap& pages = work.pages();
        for (std::uint64_t page = range->first, next = page; page < range->end; page = next) {
            next = pages.next_set(page + 1);
            if (is_zero_page(memory_.host(RamOffset{page * kPageSize})))
                TRY(add_zero(page));
            else
                TRY(add_data(page, next));
        }
    }
    TRY(flush_data());
    TRY(flush_zero());
    return count_;
}

Status RamSender::add_data(std::uint64_t page, std::uint64_t next) {
    if (data_runs_.empty())
        begin_frame();
    append(data_runs_, page);
    // In the cache from the zero check.
    std::span<const std::byte> bytes{memory_.host(RamOffset{page * kPageSize}), kPageSize};
    if (packs_) {
        copy_.insert(copy_.end(), bytes.begin(), bytes.end());
        bytes = std::span{copy_}.last(kPageSize);
    }
    const bool more = next < memory_.page_count();
    page_crcs_.push_back(crc32c(bytes, 0, more ? memory_.host(RamOffset{next * kPageSize}) : nullptr));
    ++count_.data_pages;
    return page_crcs_.size() >= frame_pages_ ? flush_data() : Status{};
}

void RamSender::begin_frame() {
    frame_pages_ =
        limit_ == nullptr ? kPagesPerFrame : limit_->frame_bytes(kPagesPerFrame * kPageSize) / kPageSize;
    packs_ = codec_ != nullptr && pass_ == 0;
    if (pass_ != 0)
        --pass_;
    copy_.clear();
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
    TRY(stream_.check_peer());
    TRY(packs_ ? send_packed() : send_data());
    account(page_crcs_.size(), 0);
    data_runs_.clear();
    page_crcs_.clear();
    return {};
}

Status RamSender::send_data() {
    parts_.clear();
    for (const PageRun& run : data_runs_)
        parts_.push_back({memory_.host(run.offset), run.pages * kPageSize});
    if (limit_ != nullptr)
        TRY(limit_->take(page_crcs_.size() * kPageSize, stream_.channel().cancel()));
    return stream_.send(Message::Ram, encode_ram(data_runs_, page_crcs_), parts_);
}

Status RamSender::send_packed() {
    const std::span<const std::byte> block = TRY(codec_->compress(copy_, copy_.size() - copy_.size() / 8));
    const bool smaller = !block.empty();
    passes_ = smaller ? 0 : std::min(2 * passes_ + 1, kMostPasses);
    pass_ = passes_;
    const std::span<const std::byte> data = smaller ? block : std::span<const std::byte>{copy_};
    const iovec part{const_cast<std::byte*>(data.data()), data.size()};
    if (limit_ != nullptr)
        TRY(limit_->take(data.size(), stream_.channel().cancel()));
    return stream_.send(smaller ? Message::RamPacked : Message::Ram, encode_ram(data_runs_, page_crcs_),
                        std::span{&part, 1});
}

Status RamSender::flush_zero() {
    if (zero_runs_.empty())
        return {};
    TRY(stream_.send(Message::RamZero, encode_zero(zero_runs_)));
    account(0, zero_pages_);
    zero_runs_.clear();
    zero_pages_ = 0;
    return {};
}

void RamSender::account(std::uint64_t data_pages, std::uint64_t zero_pages) {
    const std::uint64_t written = stream_.channel().bytes_written();
    const std::uint64_t bytes = written - std::exchange(written_, written);
    count_.bytes += bytes;
    progress_.update([&](ProgressSnapshot& now) {
        now.ram_transferred += bytes;
        now.normal += data_pages;
        now.duplicate += zero_pages;
        now.ram_remaining -= std::min(now.ram_remaining, (data_pages + zero_pages) * kPageSize);
    });
}

} // namespace godwit::migration
