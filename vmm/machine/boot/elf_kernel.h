// SPDX-License-Identifier: Apache-2.0
//
// An ELF kernel: what to load where, and where to enter. ELF-64 object file format; Xen's PVH note
// (xen/include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY). The file is hostile: every number is checked. Any
// thread.
#pragma once

#include "vmm/base/result.h"
#include "vmm/machine/boot/image.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace godwit::boot {

// Checked: lies in the image, file_size <= memory_size, the address range does not wrap, no two segments
// overlap.
struct ElfSegment {
    std::uint64_t file_offset;
    std::uint64_t file_size;
    std::uint64_t memory_size;
    Gpa address; // p_paddr
    std::uint64_t end() const { return address.value + memory_size; }
};

struct ElfKernel {
    std::vector<ElfSegment> segments;       // by address, at least one
    std::optional<std::uint32_t> pvh_entry; // 32-bit protected mode
    std::optional<std::uint64_t> entry64;   // e_entry, if it is a physical address inside a segment
    std::uint64_t file_end = 0;             // what lies behind in the file (symbols) boots nothing
    std::uint64_t begin() const { return segments.front().address.value; }
    std::uint64_t end() const { return segments.back().end(); }
};

bool has_elf_magic(const Image& image);
// InvalidInput: what is wrong with the file, among it an image with neither of the two entries.
Result<ElfKernel> parse_elf(const Image& image);

} // namespace godwit::boot
