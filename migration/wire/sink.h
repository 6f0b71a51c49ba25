// SPDX-License-Identifier: Apache-2.0
//
// Where a stream is written to: memory or a file descriptor. One thread.
#pragma once

#include "migration/wire/wait_for.h"
#include "vmm/base/bytes.h"

#include <cstddef>
#include <span>
#include <vector>

namespace godwit::migration::wire {

class Sink {
  public:
    virtual ~Sink() = default;
    virtual Status write(std::span<const std::byte> bytes) = 0;
};

class BufferSink : public Sink {
  public:
    Status write(std::span<const std::byte> bytes) override {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return {};
    }
    std::span<const std::byte> bytes() const { return bytes_; }
    std::vector<std::byte> take() { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

// A descriptor: file, pipe, socket. Small writes are gathered; call flush() before closing. Without `wait` it
// must be a blocking one.
class FdSink : public Sink {
  public:
    explicit FdSink(Fd fd, WaitFor wait = {}) : fd_(std::move(fd)), wait_(std::move(wait)) {}
    Status write(std::span<const std::byte> bytes) override;
    Status flush();
    const Fd& fd() const { return fd_; }

  private:
    Status write_all(std::span<const std::byte> bytes);

    Fd fd_;
    WaitFor wait_;
    std::vector<std::byte> pending_;
};

} // namespace godwit::migration::wire
