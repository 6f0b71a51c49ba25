// SPDX-License-Identifier: Apache-2.0
//
// Owning mmap(2) region.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <cstddef>
#include <span>

namespace godwit {

class Mapping {
  public:
    Mapping() = default;
    // Private anonymous memory, zero, not reserved in swap.
    static Result<Mapping> anonymous(std::size_t length);
    // A file or device; protection as in mmap(2).
    static Result<Mapping> of_file(const Fd& fd, std::size_t length, int protection, bool shared,
                                   std::uint64_t offset = 0);
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<std::byte> bytes() const { return {data_, size_}; }

  private:
    Mapping(std::byte* data, std::size_t size) : data_(data), size_(size) {}
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace godwit
