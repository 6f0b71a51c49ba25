// SPDX-License-Identifier: Apache-2.0
//
// Where a stream is written to: memory or a file descriptor. One thread.
#pragma once

#include "vmm/base/bytes.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"

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

// A blocking descriptor: file, pipe. Small writes are gathered; call flush() before closing.
class FdSink : public Sink {
  public:
    explicit FdSink(Fd fd) : fd_(std::move(fd)) {}
    Status write(std::span<const std::byte> bytes) override;
    Status flush();
    const Fd& fd() const { return fd_; }

  private:
    Fd fd_;
    std::vector<std::byte> pending_;
};

} // namespace godwit::migration::wire
