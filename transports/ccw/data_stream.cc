// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/data_stream.h"

#include <algorithm>

namespace godwit::ccw {

DataStream::DataStream(GuestMemory& memory, std::uint64_t at, const Ccw1& first)
    : memory_(memory), at_(at), ccw_(first), left_(first.count) {}

bool DataStream::more() {
    if (faulted_)
        return false;
    if (left_ != 0)
        return true;
    return (ccw_.flags & kCcwChainData) != 0 && next_chained();
}

// One transfer in channel may stand between two CCWs of a chain, not two.
bool DataStream::next_chained() {
    faulted_ = true;
    std::uint64_t next = at_ + kCcwSize;
    auto fetched = fetch_ccw(memory_, next);
    if (fetched.has_value() && is_transfer(*fetched)) {
        if (!valid_transfer(*fetched))
            return false;
        next = fetched->cda;
        fetched = fetch_ccw(memory_, next);
        if (fetched.has_value() && is_transfer(*fetched))
            return false;
    }
    if (!fetched.has_value() || !valid_data(*fetched, true))
        return false;
    faulted_ = false;
    at_ = next;
    ccw_ = *fetched;
    left_ = ccw_.count;
    interrupt_wanted_ = interrupt_wanted_ || (ccw_.flags & kCcwInterrupt) != 0;
    return true;
}

bool DataStream::in_reach(std::size_t count) {
    faulted_ = here().value + count > kAddressLimit;
    return !faulted_;
}

void DataStream::passed(std::size_t count) {
    left_ = static_cast<std::uint16_t>(left_ - count);
    moved_ += count;
}

std::size_t DataStream::take(std::span<std::byte> out) {
    std::size_t done = 0;
    while (done < out.size() && more()) {
        const std::size_t part = std::min<std::size_t>(left_, out.size() - done);
        if (!in_reach(part))
            break;
        if (!memory_.read(here(), out.subspan(done, part)).ok()) {
            faulted_ = true;
            break;
        }
        passed(part);
        done += part;
    }
    starved_ = starved_ || done < out.size();
    return done;
}

std::size_t DataStream::give(std::span<const std::byte> bytes) {
    std::size_t done = 0;
    while (done < bytes.size() && more()) {
        const std::size_t part = std::min<std::size_t>(left_, bytes.size() - done);
        if ((ccw_.flags & kCcwSkip) == 0) {
            if (!in_reach(part))
                break;
            if (!memory_.write(here(), bytes.subspan(done, part)).ok()) {
                faulted_ = true;
                break;
            }
        }
        passed(part);
        done += part;
    }
    cut_short_ = cut_short_ || done < bytes.size();
    return done;
}

std::size_t DataStream::look(std::span<std::byte> out) const {
    DataStream ahead{*this};
    return ahead.take(out);
}

} // namespace godwit::ccw
