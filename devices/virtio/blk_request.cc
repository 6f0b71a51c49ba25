// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_request.h"

#include "devices/virtio/stable_storage.h"
#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>

namespace godwit::virtio {

namespace {

constexpr std::size_t kHeader = sizeof(virtio_blk_req_header);
constexpr std::size_t kZeroBuffer = 64 << 10;
constexpr std::size_t kZeroVectors = 16; // so that zeros are written a megabyte at a time

alignas(4096) constinit std::array<std::byte, kZeroBuffer> zero_buffer{};

// Copies from the readable parts as if they were one buffer.
// Precondition: offset + out.size() <= chain.readable_bytes.
void copy_from(const Chain& chain, std::size_t offset, std::span<std::byte> out) {
    for (const GuestReadSlice& slice : chain.readable) {
        if (out.empty())
            return;
        if (offset >= slice.size()) {
            offset -= slice.size();
            continue;
        }
        const std::size_t count = std::min(out.size(), slice.size() - offset);
        slice.copy_out(offset, out.first(count));
        out = out.subspan(count);
        offset = 0;
    }
}

template <class T>
T object_at(const Chain& chain, std::size_t offset) {
    T object;
    copy_from(chain, offset, std::as_writable_bytes(std::span{&object, 1}));
    return object;
}

void add_vector(std::vector<iovec>& vectors, std::byte* data, std::size_t size) {
    if (size != 0)
        vectors.push_back({data, size});
}

} // namespace

void BlkRequest::start() {
    vectors_.clear();
    first_vector_ = 0;
    filled_ = 0;
    lent_ = false;
    if (chain_.readable_bytes < kHeader)
        return finish(VIRTIO_BLK_S_IOERR);
    const auto header = in_order(object_at<virtio_blk_req_header>(chain_, 0), backend_.endian);
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
        return start_transfer(Step::Read, header.sector, data_in_bytes());
    case VIRTIO_BLK_T_OUT:
        return start_transfer(Step::Write, header.sector, chain_.readable_bytes - kHeader);
    case VIRTIO_BLK_T_FLUSH:
        step_ = Step::Sync;
        return submit();
    case VIRTIO_BLK_T_GET_ID:
        return answer_id();
    case VIRTIO_BLK_T_DISCARD:
        return start_range(true);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return start_range(false);
    default:
        return finish(VIRTIO_BLK_S_UNSUPP);
    }
}

void BlkRequest::start_transfer(Step step, std::uint64_t sector, std::uint64_t bytes) {
    if (bytes % kSectorSize != 0 || !in_range(sector, bytes / kSectorSize) ||
        (step == Step::Write && backend_.readonly))
        return finish(VIRTIO_BLK_S_IOERR);
    if (bytes == 0)
        return finish(VIRTIO_BLK_S_OK);
    if (step == Step::Read) {
        std::uint64_t left = bytes; // all but the status byte
        for (const GuestWriteSlice& slice : chain_.writable) {
            const std::uint64_t count = std::min<std::uint64_t>(left, slice.size());
            add_vector(vectors_, slice.for_kernel(), count);
            left -= count;
        }
        lent_ = true;
    } else {
        std::size_t skip = kHeader;
        for (const GuestReadSlice& slice : chain_.readable) {
            const std::size_t skipped = std::min(skip, slice.size());
            // The kernel only reads through it: iovec has no const form.
            add_vector(vectors_, const_cast<std::byte*>(slice.for_kernel()) + skipped,
                       slice.size() - skipped);
            skip -= skipped;
        }
    }
    if (vectors_.size() > kBlkMaxSegments) {
        lent_ = false;
        return finish(VIRTIO_BLK_S_IOERR);
    }
    step_ = step;
    offset_ = sector * kSectorSize;
    left_ = bytes;
    submit();
}

// Section 5.2.6.1 and 5.2.6.2: discard and write zeroes, one segment each.
void BlkRequest::start_range(bool discard) {
    const unsigned needed = discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;
    if ((backend_.features >> needed & 1) == 0)
        return finish(VIRTIO_BLK_S_UNSUPP);
    constexpr std::size_t kSegment = sizeof(virtio_blk_discard_write_zeroes);
    if (backend_.readonly || chain_.readable_bytes < kHeader + kSegment)
        return finish(VIRTIO_BLK_S_IOERR);
    if (chain_.readable_bytes > kHeader + kSegment)
        return finish(VIRTIO_BLK_S_UNSUPP);
    const auto segment =
        in_order(object_at<virtio_blk_discard_write_zeroes>(chain_, kHeader), backend_.endian);
    if ((segment.flags & ~(discard ? 0 : kWriteZeroesUnmap)) != 0)
        return finish(VIRTIO_BLK_S_UNSUPP);
    if (segment.num_sectors > kBlkMaxRangeSectors || !in_range(segment.sector, segment.num_sectors))
        return finish(VIRTIO_BLK_S_IOERR);
    if (segment.num_sectors == 0)
        return finish(VIRTIO_BLK_S_OK);
    const bool punch = discard || ((segment.flags & kWriteZeroesUnmap) != 0 && backend_.zeroing_unmaps);
    mode_ = FALLOC_FL_KEEP_SIZE | (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    step_ = discard ? Step::Discard : Step::WriteZeroes;
    offset_ = segment.sector * kSectorSize;
    left_ = segment.num_sectors * kSectorSize;
    submit();
}

void BlkRequest::answer_id() {
    std::array<std::byte, kBlkIdLength> id{};
    const std::string_view serial = backend_.serial;
    std::copy_n(std::as_bytes(std::span{serial}).begin(), std::min(serial.size(), id.size()), id.begin());
    std::span<const std::byte> left{id};
    left = left.first(std::min<std::uint64_t>(left.size(), data_in_bytes()));
    for (const GuestWriteSlice& slice : chain_.writable) {
        const auto part = left.first(std::min(left.size(), slice.size()));
        slice.copy_in(0, part);
        left = left.subspan(part.size());
        filled_ += part.size();
    }
    finish(VIRTIO_BLK_S_OK);
}

void BlkRequest::submit() {
    const auto vectors = std::span<const iovec>{vectors_}.subspan(first_vector_);
    switch (step_) {
    case Step::Read:
        return backend_.loop.read(*this, backend_.file, vectors, offset_);
    case Step::Write:
        return backend_.loop.write(*this, backend_.file, vectors, offset_);
    case Step::Discard:
        if (backend_.discarder != nullptr)
            return backend_.discarder->discard(*this, offset_, left_);
        [[fallthrough]];
    case Step::WriteZeroes:
        return backend_.loop.fallocate(*this, backend_.file, mode_, offset_, left_);
    case Step::WriteZeroPages:
        return submit_zero_pages();
    case Step::Sync:
        return submit_sync();
    }
}

void BlkRequest::submit_sync() {
    if (const Status intact = backend_.storage->check(); !intact.ok()) {
        (void)owner_.request_failed({.write = true, .errno_value = EIO, .text = intact.error().text}, false);
        return finish(VIRTIO_BLK_S_IOERR);
    }
    backend_.loop.fdatasync(*this, backend_.file);
}

void BlkRequest::submit_zero_pages() {
    vectors_.clear();
    for (std::uint64_t planned = 0; planned < left_ && vectors_.size() < kZeroVectors;) {
        const auto count = std::min<std::uint64_t>(left_ - planned, zero_buffer.size());
        vectors_.push_back({zero_buffer.data(), count});
        planned += count;
    }
    backend_.loop.write(*this, backend_.file, vectors_, offset_);
}

void BlkRequest::completed(std::int32_t result) {
    if (result == -EINTR || result == -EAGAIN)
        return submit();
    if (result < 0 && step_ == Step::Sync)
        backend_.storage->failed(-result);
    if (result < 0 && (step_ == Step::Discard || step_ == Step::WriteZeroes))
        return range_failed(-result);
    const bool moves_bytes = step_ == Step::Read || step_ == Step::Write || step_ == Step::WriteZeroPages;
    if (result < 0 || (moves_bytes && result == 0))
        return fail(result < 0 ? -result : EIO); // no bytes at all: somebody has made the image shorter
    if (moves_bytes)
        return transferred(static_cast<std::uint64_t>(result));
    if (step_ == Step::WriteZeroes)
        return finish_write();
    finish(VIRTIO_BLK_S_OK);
}

// A transfer may end early; the rest is asked for again.
void BlkRequest::transferred(std::uint64_t count) {
    offset_ += count;
    left_ -= count;
    if (step_ == Step::Read)
        filled_ += count;
    if (left_ == 0)
        return step_ == Step::Read ? finish(VIRTIO_BLK_S_OK) : finish_write();
    if (step_ != Step::WriteZeroPages) {
        while (count >= vectors_[first_vector_].iov_len)
            count -= vectors_[first_vector_++].iov_len;
        iovec& partial = vectors_[first_vector_];
        partial.iov_base = static_cast<std::byte*>(partial.iov_base) + count;
        partial.iov_len -= count;
    }
    submit();
}

// File systems and disks may know neither holes nor zero ranges, or not at this alignment. A discard is only
// advice; zeros can always be written.
void BlkRequest::range_failed(int errno_value) {
    if (errno_value != EOPNOTSUPP && errno_value != EINVAL && errno_value != ENOSYS)
        return fail(errno_value);
    if (step_ == Step::Discard)
        return finish(VIRTIO_BLK_S_OK);
    step_ = Step::WriteZeroPages;
    submit();
}

// What a failed flush has lost stays lost, whatever is done now: that is always told.
void BlkRequest::fail(int errno_value) {
    const BlkError failure{.write = step_ != Step::Read,
                           .errno_value = errno_value,
                           .text = system_error(errno_value, describe()).text};
    switch (owner_.request_failed(failure, step_ != Step::Sync)) {
    case ErrorAction::Report:
        return finish(VIRTIO_BLK_S_IOERR);
    case ErrorAction::Ignore:
        if (step_ == Step::Read)
            filled_ = data_in_bytes();
        return finish(VIRTIO_BLK_S_OK);
    case ErrorAction::Stop:
        give_back_lent();
        return owner_.request_stalled(*this);
    }
}

void BlkRequest::finish_write() {
    if (backend_.writeback)
        return finish(VIRTIO_BLK_S_OK);
    step_ = Step::Sync;
    submit();
}

// How far the kernel came in a read that failed is not known.
void BlkRequest::give_back_lent() const {
    if (lent_)
        for (const GuestWriteSlice& slice : chain_.writable)
            slice.wrote(slice.size());
}

void BlkRequest::finish(std::uint8_t status) {
    give_back_lent();
    const GuestWriteSlice& last = chain_.writable.back();
    last.copy_in(last.size() - 1, std::as_bytes(std::span{&status, 1}));
    // Counted from the start: the status byte only when nothing is missing before it.
    written_ = static_cast<std::uint32_t>(filled_ + (filled_ == data_in_bytes() ? 1 : 0));
    owner_.request_finished(*this);
}

std::string BlkRequest::describe() const {
    const auto name = [this] {
        switch (step_) {
        case Step::Read:
            return "read";
        case Step::Write:
            return "write";
        case Step::Discard:
            return "discard";
        case Step::WriteZeroes:
        case Step::WriteZeroPages:
            return "write zeroes";
        case Step::Sync:
            break;
        }
        return "flush";
    };
    if (step_ == Step::Sync)
        return name();
    return fmt::format("{} of {} bytes at sector {}", name(), left_, offset_ / kSectorSize);
}

} // namespace godwit::virtio
