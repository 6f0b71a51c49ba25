// SPDX-License-Identifier: Apache-2.0
//
// Kernel images made up for the unit tests of this folder: ELF files, bzImages, and each compression.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/machine/boot/unpack.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::boot::test {

using Bytes = std::vector<std::byte>;

// Offsets into what make_elf() returns.
inline constexpr std::size_t kElfProgramHeaders = 64;
inline constexpr std::size_t kElfProgramHeaderSize = 56;

struct ElfShape {
    std::uint64_t entry = 0x100010;
    std::optional<std::uint64_t> pvh_entry = 0x100000;
    bool wide_note = false;         // descriptor of 8 bytes, as Linux has it
    std::size_t text_size = 10'000; // segment 0, at 1 MiB
    std::size_t data_size = 5'000;  // segment 1, at 2 MiB
    std::uint64_t text_address = 0x100000;
    std::uint64_t data_address = 0x200000;
    std::uint64_t zeros = 0x3000; // behind segment 1
};
// Program headers: text, data, note (always there; without pvh_entry it holds another note).
Bytes make_elf(const ElfShape& shape = {});
// What is in the segments.
std::byte text_byte(std::size_t at);
std::byte data_byte(std::size_t at);

struct BzShape {
    std::uint16_t version = 0x020f;
    std::uint16_t xloadflags = 1;
    std::uint32_t command_line_size = 2047;
    std::uint32_t initrd_address_max = 0x7fffffff;
    std::uint64_t pref_address = 0x1000000;
    std::uint32_t init_size = 0x100000;
    std::size_t stub_size = 0x400; // protected-mode code in front of the payload
};
// `payload` as compress() makes it.
Bytes make_bzimage(std::span<const std::byte> payload, const BzShape& shape = {});
std::byte stub_byte(std::size_t at);

// With the unpacked size behind it, as the kernel's build does.
Bytes compress(Compression compression, std::span<const std::byte> bytes);

// A file with a path that no disk ever sees: the tests of damaged images write thousands.
class TempFile {
  public:
    explicit TempFile(std::span<const std::byte> bytes);
    const std::string& path() const { return path_; }
    void replace(std::span<const std::byte> bytes) const;

  private:
    Fd file_;
    std::string path_;
};

} // namespace godwit::boot::test
