// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/input.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace godwit::migration::wire {

namespace {
constexpr std::size_t kChunkBytes = std::size_t{256} << 10;
}

Result<std::size_t> FdSource::read_some(std::span<std::byte> out) {
    for (;;) {
        if (wait_)
            TRY(wait_(fd_, POLLIN));
        const ssize_t count = ::read(fd_.get(), out.data(), out.size());
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno != EINTR && !(errno == EAGAIN && wait_))
            return Error{errno == EISDIR ? ErrorCode::InvalidInput : ErrorCode::System,
                         system_error(errno, "read the stream").text};
    }
}

Error Input::truncated(std::size_t wanted) const {
    return corrupt("the stream ends at byte {}: {} more bytes wanted", offset_, wanted);
}

// Precondition: the window is empty. It stays empty at the end of the stream.
Status Input::fill() {
    if (source_ == nullptr)
        return {};
    buffer_.resize(kChunkBytes);
    const std::size_t count = TRY(source_->read_some(buffer_));
    window_ = std::span{buffer_}.first(count);
    return {};
}

Status Input::read(std::span<std::byte> out) {
    while (!out.empty()) {
        if (window_.empty())
            TRY(fill());
        if (window_.empty())
            return truncated(out.size());
        const std::size_t count = std::min(out.size(), window_.size());
        std::memcpy(out.data(), window_.data(), count);
        out = out.subspan(count);
        advance(count);
    }
    return {};
}

Status Input::skip(std::uint64_t count) {
    while (count != 0) {
        if (window_.empty())
            TRY(fill());
        if (window_.empty())
            return truncated(count);
        const std::size_t part = std::min<std::uint64_t>(count, window_.size());
        advance(part);
        count -= part;
    }
    return {};
}

Result<bool> Input::at_end() {
    if (window_.empty())
        TRY(fill());
    return window_.empty();
}

Result<std::byte> Input::peek() {
    if (TRY(at_end()))
        return truncated(1);
    return window_[0];
}

Result<std::string> Input::counted_name() {
    const auto length = TRY(be<std::uint8_t>());
    if (length == 0)
        return corrupt("empty name at byte {}", offset_ - 1);
    std::string name(length, '\0');
    TRY(read(std::as_writable_bytes(std::span{name})));
    return name;
}

Result<std::span<const std::byte>> Input::rest(std::size_t limit) {
    if (source_ != nullptr) {
        std::vector<std::byte> all{window_.begin(), window_.end()};
        for (;;) {
            if (all.size() > limit)
                return corrupt("more than {} bytes follow byte {}", limit, offset_);
            const std::size_t before = all.size();
            all.resize(before + kChunkBytes);
            const std::size_t count = TRY(source_->read_some(std::span{all}.subspan(before)));
            all.resize(before + count);
            if (count == 0)
                break;
        }
        buffer_ = std::move(all);
        window_ = buffer_;
        source_ = nullptr;
    }
    if (window_.size() > limit)
        return corrupt("{} bytes follow byte {}, at most {} can", window_.size(), offset_, limit);
    return window_;
}

Result<std::span<const std::byte>> Input::drain(std::uint64_t limit, std::size_t keep) {
    std::vector<std::byte> held{window_.begin(), window_.end()};
    for (bool more = source_ != nullptr; more;) {
        if (held.size() > 2 * keep) {
            const std::size_t count = held.size() - keep;
            window_ = held;
            advance(count);
            held.erase(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(count));
            if (limit < count)
                return corrupt("the stream goes on for longer than can be");
            limit -= count;
        }
        const std::size_t before = held.size();
        held.resize(before + kChunkBytes);
        const std::size_t count = TRY(source_->read_some(std::span{held}.subspan(before)));
        held.resize(before + count);
        more = count != 0;
    }
    source_ = nullptr;
    buffer_ = std::move(held);
    window_ = buffer_;
    if (window_.size() > keep)
        advance(window_.size() - keep);
    return window_;
}

void Input::advance(std::size_t count) {
    if (sums_ != nullptr)
        sums_->add(window_.first(count));
    window_ = window_.subspan(count);
    offset_ += count;
}

} // namespace godwit::migration::wire
