// SPDX-License-Identifier: Apache-2.0
//
// Bytes in memory that never change, in a sealed memfd: several may hold them at the cost of one, and they
// are mapped only while somebody looks at them. Any thread.
//
//     BlobWriter writer = TRY(BlobWriter::create("initrd"));
//     TRY(writer.append(bytes));
//     const Blob initrd = TRY(std::move(writer).seal());
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/mapping.h"
#include "vmm/base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace godwit {

class Blob {
  public:
    std::uint64_t size() const { return size_; }
    // Precondition: inside of it.
    Status read(std::uint64_t offset, std::span<std::byte> out) const;
    // All of it, to be read; nothing when it is empty.
    Result<Mapping> map() const;

  private:
    friend class BlobWriter;
    Blob(Fd file, std::uint64_t size) : file_(std::make_shared<const Fd>(std::move(file))), size_(size) {}

    std::shared_ptr<const Fd> file_;
    std::uint64_t size_;
};

class BlobWriter {
  public:
    // `name` is what /proc shows.
    static Result<BlobWriter> create(const char* name);
    Status append(std::span<const std::byte> bytes);
    std::uint64_t size() const { return size_; }
    Result<Blob> seal() &&;

  private:
    explicit BlobWriter(Fd file) : file_(std::move(file)) {}

    Fd file_;
    std::uint64_t size_ = 0;
};

} // namespace godwit
