// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a PVH boot loader hands over.  Reference: Xen's x86 HVM direct boot ABI, hvm_start_info version 1.
#include "base/types.h"

namespace guest {

struct StartInfo {
    static constexpr u32 expected_magic = 0x336ec578;
    u32 magic, version, flags, nr_modules;
    u64 modlist, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct MemoryMapEntry {
    static constexpr u32 ram = 1;
    u64 address, size;
    u32 type, reserved;
};
static_assert(sizeof(MemoryMapEntry) == 24);

} // namespace guest
