// SPDX-License-Identifier: Apache-2.0
//
// The memory map that the guest is given, the same for both boot protocols. Any thread.
#pragma once

#include "vmm/base/result.h"
#include "vmm/machine/e820.h"
#include "vmm/memory/guest_memory.h"

#include <span>
#include <vector>

namespace godwit::boot {

inline constexpr std::size_t kMaxMemoryMap = 128; // entries that fit into the zero page

// RAM without the legacy hole and without `reservations`, then those and what the board reserves; by address,
// nothing overlaps. Internal: reservations that overlap each other or are too many.
Result<std::vector<E820Entry>> make_memory_map(std::span<const RamRegion> ram,
                                               std::span<const E820Entry> reservations);

} // namespace godwit::boot
