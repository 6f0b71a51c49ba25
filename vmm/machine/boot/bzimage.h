// SPDX-License-Identifier: Apache-2.0
//
// A bzImage: the setup header of the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst, "The Real-Mode
// Kernel Header"). The file is hostile: every number is checked. Any thread.
#pragma once

#include "vmm/base/result.h"
#include "vmm/machine/boot/image.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace godwit::boot {

inline constexpr std::size_t kSetupHeaderAt = 0x1f1; // in the file and in the zero page

// Offsets and lengths were checked against the file.
struct BzImage {
    std::vector<std::byte> setup_header; // from kSetupHeaderAt, as in the file
    std::uint16_t version;               // 0x020c = 2.12
    std::uint64_t kernel_offset;         // protected-mode part, in the file
    std::uint64_t kernel_size;
    std::uint64_t payload_offset; // compressed kernel, in the file; length 0: none
    std::uint64_t payload_size;
    bool has_entry64;                 // XLF_KERNEL_64
    std::uint64_t pref_address;       // where the protected-mode part wants to lie
    std::uint64_t init_size;          // bytes that it uses from there before it looks at the memory map
    std::uint64_t command_line_limit; // without the terminating zero
    std::uint64_t file_end;           // of protected-mode part and payload
    std::uint64_t initrd_end;         // one past the highest address of an initrd
};

bool has_bzimage_magic(const Image& image);
// InvalidInput: what is wrong with the file.
Result<BzImage> parse_bzimage(const Image& image);

} // namespace godwit::boot
