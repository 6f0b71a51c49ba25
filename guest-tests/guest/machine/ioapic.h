// SPDX-License-Identifier: Apache-2.0
#pragma once
// The first IOAPIC, at its usual place.  Reference: 82093AA data sheet.
#include "base/types.h"

namespace guest::ioapic {

enum class Trigger { Edge, Level };

void route(u32 pin, u8 vector, Trigger trigger, u32 apic_id); // active high, unmasked
void unmask(u32 pin, u8 vector); // after a level interrupt (boot/vectors.S masks it)

} // namespace guest::ioapic
