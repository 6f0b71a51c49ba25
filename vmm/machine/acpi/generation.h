// SPDX-License-Identifier: Apache-2.0
//
// The virtual machine generation ID: 16 bytes in guest memory that change whenever the guest goes on from a
// state that may have run before, so that it draws new random numbers (Microsoft, "Virtual Machine Generation
// ID", 2012; \_SB.VGEN in dsdt.asl). It stays the same over a pause, a move and a reset.
//
// It lies in a page that the guest's memory map keeps for it, at a fixed address and behind a signature: a
// guest that was booted elsewhere may have anything there, and has no generation. Any thread.
#pragma once

#include "vmm/base/result.h"
#include "vmm/machine/board.h"
#include "vmm/memory/guest_memory.h"

#include <array>
#include <cstddef>
#include <optional>

namespace godwit::acpi {

inline constexpr board::Window kGenerationPage{0xe'f000, 0x1000};
inline constexpr Gpa kGenerationId{kGenerationPage.base + 0x28}; // as in the DSDT

using GenerationId = std::array<std::byte, 16>;

// Random.
Result<GenerationId> new_generation();
// With the signature.
Status place_generation(const GenerationId& id, GuestMemory& memory);
// What the guest in this memory has.
std::optional<GenerationId> generation_in(const GuestMemory& memory);

} // namespace godwit::acpi
