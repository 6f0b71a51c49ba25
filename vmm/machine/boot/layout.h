// SPDX-License-Identifier: Apache-2.0
//
// Where the loader puts its own structures: below 128 KiB, which every kernel that we can load leaves alone
// until it has read them. Constants only.
#pragma once

#include "vmm/base/address.h"
#include "vmm/machine/board.h"

#include <cstdint>

namespace godwit::boot {

inline constexpr Gpa kGdt{0x1000};         // descriptor table
inline constexpr Gpa kTaskSegment{0x1080}; // task state segment, all zero
inline constexpr Gpa kStartInfo{0x2000};   // PVH: start info, module list, memory map
inline constexpr Gpa kZeroPage{0x3000};    // Linux boot protocol: struct boot_params
inline constexpr Gpa kPageTables{0x4000};  // six pages: PML4, PDPT, four page directories
inline constexpr Gpa kCommandLine{0x1'0000};
inline constexpr std::uint64_t kCommandLineRoom = 0x1'0000; // with the terminating zero

// Where a BIOS begins, f000:fff0: who resets the machine by jumping there finds code that does it.
inline constexpr Gpa kResetVector{0xf'fff0};

// A kernel may occupy neither of these: our structures, and the area that holds ACPI tables.
inline constexpr board::Window kLoaderArea{0, 0x2'0000};

// What a Linux kernel that does not state a limit reads: COMMAND_LINE_SIZE of x86 without the terminating
// zero.
inline constexpr std::uint64_t kDefaultCommandLineLimit = 2047;

inline constexpr std::uint64_t kMinimumRam = 1 << 20;

} // namespace godwit::boot
