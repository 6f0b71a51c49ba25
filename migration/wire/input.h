// SPDX-License-Identifier: Apache-2.0
//
// A stream being read: a buffer that holds all of it, or a source that is read as needed. What is read counts
// as hostile. One thread.
#pragma once

#include "migration/wire/stream_sums.h"
#include "migration/wire/wait_for.h"
#include "vmm/base/bytes.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace godwit::migration::wire {

class ByteSource {
  public:
    virtual ~ByteSource() = default;
    // Reads at least one byte; 0 is the end of the stream.
    virtual Result<std::size_t> read_some(std::span<std::byte> out) = 0;
};

// A descriptor: file, pipe, socket. Without `wait` it must be a blocking one.
class FdSource : public ByteSource {
  public:
    explicit FdSource(Fd fd, WaitFor wait = {}) : fd_(std::move(fd)), wait_(std::move(wait)) {}
    Result<std::size_t> read_some(std::span<std::byte> out) override;

  private:
    Fd fd_;
    WaitFor wait_;
};

class Input {
  public:
    // Both must outlive the input.
    explicit Input(std::span<const std::byte> all) : window_(all) {}
    explicit Input(ByteSource& source) : source_(&source) {}

    // What is consumed from here on is added to `sums`; null ends that. They must outlive the input.
    void sum_into(StreamSums* sums) { sums_ = sums; }
    // Consumes the rest but the last `keep` bytes (or less), which are given. For error paths: at most
    // `limit` bytes are read.
    Result<std::span<const std::byte>> drain(std::uint64_t limit, std::size_t keep);

    // Bytes consumed so far, for error texts.
    std::uint64_t offset() const { return offset_; }

    Status read(std::span<std::byte> out);
    Status skip(std::uint64_t count);
    Result<bool> at_end();
    // Does not consume; an error at the end.
    Result<std::byte> peek();
    template <std::unsigned_integral T>
    Result<T> be() {
        T raw{};
        TRY(read(std::as_writable_bytes(std::span{&raw, 1})));
        return from_be(raw);
    }
    // A length byte and that many bytes; an empty one is an error.
    Result<std::string> counted_name();

    // Everything that is left, read into memory when it is not yet there; an error when it is more than
    // `limit`. Nothing is consumed: advance() does.
    Result<std::span<const std::byte>> rest(std::size_t limit);
    // Precondition: count bytes of the last rest().
    void advance(std::size_t count);

  private:
    Status fill();
    Error truncated(std::size_t wanted) const;

    ByteSource* source_ = nullptr;
    StreamSums* sums_ = nullptr;
    std::span<const std::byte> window_; // what is there and not consumed
    std::vector<std::byte> buffer_;     // behind window_, when there is a source
    std::uint64_t offset_ = 0;
};

} // namespace godwit::migration::wire
