// SPDX-License-Identifier: Apache-2.0
//
// The state in which the boot CPU enters the kernel. PVH: xen/docs/misc/pvh.pandoc, "x86/HVM direct boot
// ABI". Linux: Documentation/arch/x86/boot.rst, "64-bit Boot Protocol". Segment fields as in the Intel SDM,
// volume 3, section 3.4.5. Any thread.
#pragma once

#include "vmm/base/address.h"
#include "vmm/base/result.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>

namespace godwit::boot {

enum class EntryKind { Pvh, Linux64 };

// Hidden part of a segment register; present, privilege level 0.
struct BootSegment {
    std::uint16_t selector;
    std::uint64_t base;
    std::uint32_t limit; // in bytes
    std::uint8_t type;   // 4 bits
    bool code_or_data;   // S
    bool big;            // D/B: 32-bit
    bool long_mode;      // L
    bool granularity;    // G
};

// Everything that is not named is zero; RFLAGS is 2; no interrupt descriptor table (base and limit zero).
struct EntryState {
    EntryKind kind;
    std::uint64_t rip;
    std::uint64_t rbx; // PVH: address of the start info
    std::uint64_t rsi; // Linux: address of the zero page
    std::uint64_t cr0;
    std::uint64_t cr3;
    std::uint64_t cr4;
    std::uint64_t efer;
    Gpa gdt_base;
    std::uint16_t gdt_limit;
    BootSegment code; // cs
    BootSegment data; // ds, es, fs, gs, ss
    BootSegment task; // tr
};

// Writes the descriptor table and, for Linux64, page tables that map the first 4 GiB to themselves.
Result<EntryState> make_entry(EntryKind kind, std::uint64_t rip, GuestMemory& memory);

} // namespace godwit::boot
