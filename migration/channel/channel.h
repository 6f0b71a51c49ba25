// SPDX-License-Identifier: Apache-2.0
//
// A stream of bytes to and from the migration peer. Every wait is bounded by a timeout without progress and
// ends when a cancel is requested; a peer that is gone is ErrorCode::Disconnected with its address. One
// thread.
#pragma once

#include "migration/channel/cancel.h"
#include "vmm/base/result.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

namespace godwit::migration {

inline constexpr std::chrono::milliseconds kDefaultTimeout{30'000};

class Channel {
  public:
    virtual ~Channel() = default;

    // All of it, or an error. After an error the stream's position is not known: only close it.
    virtual Status write(std::span<const iovec> parts) = 0;
    virtual Status read(std::span<const iovec> parts) = 0;
    // What is there, at least one byte; 0 at the end of the stream.
    virtual Result<std::size_t> read_some(std::span<std::byte> out) = 0;
    // True when a read would find bytes or the end of the stream within `wait`. Ends with an error when a
    // cancel is requested.
    virtual Result<bool> readable(std::chrono::milliseconds wait) = 0;
    // The peer reads the end of the stream; reading from it goes on.
    virtual void finish_writing() = 0;
    // Both directions: the peer sees that we are gone.
    virtual void close() = 0;
    virtual const std::string& peer() const = 0;
    // How long a message to the peer and its answer are on their way at least; zero when it is not known.
    virtual std::chrono::microseconds round_trip() const { return {}; }

    Status read(std::span<std::byte> out) {
        const iovec part{out.data(), out.size()};
        return read(std::span{&part, 1});
    }

    // How long read() and write() wait without any progress.
    void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
    std::chrono::milliseconds timeout() const { return timeout_; }
    // Null ignores requests. It must outlive its use.
    void set_cancel(const Cancel* cancel) { cancel_ = cancel; }
    const Cancel* cancel() const { return cancel_; }

    std::uint64_t bytes_written() const { return bytes_written_; }
    std::uint64_t bytes_read() const { return bytes_read_; }

  protected:
    std::chrono::milliseconds timeout_ = kDefaultTimeout;
    const Cancel* cancel_ = nullptr;
    std::uint64_t bytes_written_ = 0;
    std::uint64_t bytes_read_ = 0;
};

} // namespace godwit::migration
