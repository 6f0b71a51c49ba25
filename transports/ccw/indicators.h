// SPDX-License-Identifier: Apache-2.0
//
// Indicator bits in guest memory, virtio 1.2 section 4.3.2.6 and 4.3.3. Pure; loop thread.
#pragma once

#include "transports/ccw/virtio_ccw_state.h"
#include "vmm/memory/guest_memory.h"

namespace godwit::ccw {

inline constexpr std::int32_t kClassicLength = 8;
inline constexpr std::uint8_t kSummaryBit = 0x01;

// Sets the bit of `index` in a big-endian doubleword, where bit 0 is the least significant one.
void set_classic(GuestMemory& memory, const Indicator& word, std::uint16_t index);
// Whether any bit of the doubleword is set.
bool any_set(const GuestMemory& memory, const Indicator& word);

// Sets a bit that is numbered from the left.
void set_from_left(GuestMemory& memory, const Indicator& area, std::uint64_t bit);
// Sets the summary indicator; true when it was clear: the guest must be interrupted.
bool set_summary(GuestMemory& memory, const Indicator& summary);
bool summary_set(const GuestMemory& memory, const Indicator& summary);

// Aligned, and in RAM. Length 0 needs address 0.
Status check_classic(const GuestMemory& memory, const Indicator& word);
Status check_area(const GuestMemory& memory, const Indicator& area);

} // namespace godwit::ccw
