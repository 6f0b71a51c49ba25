// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a kernel or initrd: a file, read where they are wanted; what is kept of one for the guest's
// life; or memory that was unpacked. Files are read and not mapped: a file that somebody truncates meanwhile
// must be an error, not a SIGBUS. Const methods: any thread.
#pragma once

#include "vmm/base/address.h"
#include "vmm/base/blob.h"
#include "vmm/base/fd.h"
#include "vmm/base/mapping.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace godwit::boot {

class Image {
  public:
    // A regular file. The error names the path.
    static Result<Image> open(const std::string& path);
    explicit Image(Blob kept) : kept_(std::move(kept)), size_(kept_->size()) {}
    explicit Image(Mapping unpacked) : memory_(std::move(unpacked)), size_(memory_.size()) {}

    std::uint64_t size() const { return size_; }

    // InvalidInput "truncated: PART needs bytes A to B, the image has N" when they are not all there.
    Status check_range(std::uint64_t offset, std::uint64_t length, std::string_view part) const;
    Status read(std::uint64_t offset, std::span<std::byte> out, std::string_view part) const;
    // The first `length` bytes, kept in memory.
    Result<Blob> keep(std::uint64_t length, const char* part) const;
    // Copies once, straight into guest memory; pages of zeros may be left out. Precondition: the target is
    // zero.
    Status load(std::uint64_t offset, std::uint64_t length, GuestMemory& memory, Gpa to,
                std::string_view part) const;

  private:
    Image(Fd file, std::uint64_t size) : file_(std::move(file)), size_(size) {}
    Status read_all(std::uint64_t offset, std::span<std::byte> out, std::string_view part) const;

    Fd file_;                  // or
    std::optional<Blob> kept_; // or
    Mapping memory_;
    std::uint64_t size_;
};

// "starts with 7f 45 4c 46", for texts.
std::string first_bytes(const Image& image);
// What is wrong with an image that is neither an ELF file nor a bzImage.
Error not_a_kernel(const Image& image);

} // namespace godwit::boot
