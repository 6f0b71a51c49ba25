// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/receiver.h"

#include <cstring>

namespace godwit::migration {

Status RamReceiver::take(const Frame& frame, IncomingRam::Guest guest) {
    switch (frame.type) {
    case Message::Ram:
        return data(frame, guest);
    case Message::RamPacked:
        return packed(frame, guest);
    case Message::RamZero:
        return zero(frame);
    default:
        return error(ErrorCode::Protocol, "{} came where pages were due", to_string(frame.type));
    }
}

Status RamReceiver::data(const Frame& frame, IncomingRam::Guest guest) {
    const RamBody ram = TRY(decode_ram(frame.body, frame.data_length, ram_.memory().size()));
    TRY(ram_.claim(ram.runs));
    parts_.clear();
    for (const PageRun& run : ram.runs)
        parts_.push_back({ram_.memory().host(run.offset), run.pages * kPageSize});
    TRY(stream_.receive_data(parts_));
    TRY(ram_.check(ram.runs, ram.page_crcs, guest));
    pages_ += ram.page_crcs.size();
    ram_.account(ram.page_crcs.size(), 0, frame.wire_size());
    return {};
}

Status RamReceiver::packed(const Frame& frame, IncomingRam::Guest guest) {
    if (codec_ == nullptr)
        return error(ErrorCode::Protocol, "a compressed frame came, and no compression was agreed");
    const RamBody ram = TRY(decode_packed(frame.body, frame.data_length, ram_.memory().size()));
    TRY(ram_.claim(ram.runs));
    // Both are bounded by a frame's pages.
    block_.resize(frame.data_length);
    const iovec part{block_.data(), block_.size()};
    TRY(stream_.receive_data(std::span{&part, 1}));
    unpacked_.resize(ram.page_crcs.size() * kPageSize);
    TRY(codec_->decompress(block_, unpacked_));
    const std::byte* from = unpacked_.data();
    for (const PageRun& run : ram.runs) {
        std::memcpy(ram_.memory().host(run.offset), from, run.pages * kPageSize);
        from += run.pages * kPageSize;
    }
    TRY(ram_.check(ram.runs, ram.page_crcs, guest));
    pages_ += ram.page_crcs.size();
    ram_.account(ram.page_crcs.size(), 0, frame.wire_size());
    return {};
}

Status RamReceiver::zero(const Frame& frame) {
    const auto runs = TRY(decode_zero(frame.body, ram_.memory().size()));
    TRY(ram_.claim(runs));
    ram_.zero(runs);
    std::uint64_t count = 0;
    for (const PageRun& run : runs)
        count += run.pages;
    pages_ += count;
    ram_.account(0, count, frame.wire_size());
    return {};
}

} // namespace godwit::migration
