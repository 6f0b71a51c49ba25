// SPDX-License-Identifier: Apache-2.0
//
// What the kernel is told, in either of two formats: the zero page of the Linux/x86 boot protocol, or PVH's
// start info (xen/include/public/arch-x86/hvm/start_info.h, version 1). Bytes only; loader.cc places them.
// Any thread.
#pragma once

#include "vmm/base/address.h"
#include "vmm/machine/e820.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace godwit::boot {

struct PlacedInitrd {
    Gpa base;
    std::uint64_t size;
};

struct Handover {
    Gpa command_line; // zero-terminated
    std::optional<PlacedInitrd> initrd;
    Gpa rsdp;
    std::vector<E820Entry> memory_map; // at most kMaxMemoryMap
};

// One page. `setup_header` is that of the bzImage; empty for a bare ELF file, which gets one of
// protocol 2.12.
std::vector<std::byte> make_zero_page(const Handover& handover, std::span<const std::byte> setup_header);

// At most one page, to be placed at kStartInfo: the addresses inside refer to it.
std::vector<std::byte> make_start_info(const Handover& handover);

} // namespace godwit::boot
