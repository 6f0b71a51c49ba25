// SPDX-License-Identifier: Apache-2.0
//
// For fuzz targets: a peer whose frames are made of the input. Most have a header that holds, or no input
// would get behind the check sums; some are bytes as they come. What is said to the peer is dropped.
//
//     frame := kind(1) message(1) body_length(2) body data_length(2) data    kind: 0xff means bytes alone
//
// Data that is shorter than it says is filled with zeros, so that a page takes few bytes.
#pragma once

#include "migration/channel/channel.h"
#include "migration/protocol/crc32c.h"
#include "migration/protocol/message.h"
#include "vmm/base/fuzz.h"

#include <algorithm>

namespace godwit::migration::test {

inline constexpr std::uint8_t kRawFrame = 0xff;

class FuzzChannel final : public Channel {
  public:
    explicit FuzzChannel(fuzz::Input& in) : in_(in) {}

    Status write(std::span<const iovec>) override { return {}; }
    Status read(std::span<const iovec> parts) override {
        for (const iovec& part : parts) {
            std::span<std::byte> out{static_cast<std::byte*>(part.iov_base), part.iov_len};
            while (!out.empty()) {
                const std::size_t count = TRY(read_some(out));
                if (count == 0)
                    return error(ErrorCode::Disconnected, "the peer is gone");
                out = out.subspan(count);
            }
        }
        return {};
    }
    using Channel::read;
    Result<std::size_t> read_some(std::span<std::byte> out) override {
        if (at_ == frame_.size() && !in_.empty())
            next();
        const std::size_t count = std::min(out.size(), frame_.size() - at_);
        std::copy_n(frame_.begin() + static_cast<std::ptrdiff_t>(at_), count, out.begin());
        at_ += count;
        bytes_read_ += count;
        return count;
    }
    Result<bool> readable(std::chrono::milliseconds) override { return at_ != frame_.size() || !in_.empty(); }
    void finish_writing() override {}
    void close() override {}
    const std::string& peer() const override { return peer_; }

  private:
    void next() {
        const std::uint8_t kind = in_.byte();
        const std::uint8_t message = in_.byte();
        const auto body = in_.take(in_.word());
        at_ = 0;
        frame_.assign(body.begin(), body.end());
        if (kind == kRawFrame)
            return;
        const std::size_t data_length = std::size_t{in_.word()} * (kind == 0 ? 1U : 16U);
        const auto data = in_.take(std::min<std::size_t>(data_length, 64));
        const auto head =
            encode(FrameHeader{Message{message}, ++sequence_, static_cast<std::uint32_t>(body.size()),
                               static_cast<std::uint32_t>(data_length), crc32c(body)});
        frame_.insert(frame_.begin(), head.begin(), head.end());
        frame_.insert(frame_.end(), data.begin(), data.end());
        frame_.resize(frame_.size() + data_length - data.size());
    }

    fuzz::Input& in_;
    fuzz::Bytes frame_;
    std::size_t at_ = 0;
    std::uint32_t sequence_ = 0;
    std::string peer_ = "the fuzzer";
};

// One frame of a seed.
inline void put_frame(ByteWriter& out, Message type, std::span<const std::byte> body,
                      std::span<const std::byte> data = {}, std::uint16_t data_length = 0) {
    out.le(std::uint8_t{0});
    out.le(static_cast<std::uint8_t>(type));
    out.le(static_cast<std::uint16_t>(body.size()));
    out.append(body);
    out.le(std::max(data_length, static_cast<std::uint16_t>(data.size())));
    out.append(data);
}

} // namespace godwit::migration::test
