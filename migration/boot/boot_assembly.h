// SPDX-License-Identifier: Apache-2.0
//
// Puts a boot source together from the pieces of a hostile stream: in order, nothing twice, no total beyond
// its bound, which is checked before anything is kept. One thread.
#pragma once

#include "migration/boot/boot_source.h"

#include <array>
#include <span>
#include <string_view>

namespace godwit::migration {

enum class BootPart : std::uint8_t {
    Kernel,
    Initrd, // may be missing
    CommandLine,
};
inline constexpr std::size_t kBootParts = 3;
std::string_view to_string(BootPart part);

class BootAssembly {
  public:
    // Neither kernel nor initrd can be larger than the RAM of the guest that they boot.
    explicit BootAssembly(std::uint64_t ram_size) : ram_size_(ram_size) {}

    // The bytes of a part that follow those which are here; of a part that has none, none. The CRC-32C of
    // what of this part is here then.
    Result<std::uint32_t> add(BootPart part, std::uint64_t total, std::uint64_t offset,
                              std::span<const std::byte> bytes);
    // The command line is here, which is last.
    bool complete() const { return complete_; }
    // Precondition: complete().
    Result<BootSourcePtr> take() &&;

  private:
    Status begin(BootPart part, std::uint64_t total);
    Status end_part();

    std::uint64_t ram_size_;
    std::optional<BootPart> part_; // that comes
    std::uint64_t total_ = 0;
    std::uint64_t here_ = 0;
    std::uint32_t sum_ = 0;
    bool complete_ = false;
    std::optional<BlobWriter> writer_; // of kernel or initrd
    std::optional<Blob> kernel_;
    std::optional<Blob> initrd_;
    std::string command_line_;
};

} // namespace godwit::migration
