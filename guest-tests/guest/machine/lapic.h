// SPDX-License-Identifier: Apache-2.0
#pragma once
// The local APIC in xAPIC mode, by its memory-mapped registers.  Reference: Intel SDM volume 3, chapter
// "APIC".
#include "base/types.h"

namespace guest::lapic {

constexpr u64 timer_hz = 1'000'000'000; // what KVM and QEMU count at, divider 1

void init(); // on each CPU: software enable, timer one-shot
u32 id();

void start_timer(u32 count); // 0 stops it
u32 timer_count();

void send_init(u32 apic_id);
void send_startup(u32 apic_id, u64 page_address);
void send_vector(u32 apic_id, u8 vector);

} // namespace guest::lapic
