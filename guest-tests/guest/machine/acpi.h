// SPDX-License-Identifier: Apache-2.0
#pragma once
// The few facts that are taken from the ACPI tables: CPUs (MADT), sleep and reset registers (FADT), ECAM
// (MCFG), the channel subsystem (SSDT). Reference: ACPI 6.4, section 5.2.  Every table is checked: length and
// checksum.  AML is not interpreted: a device's resources (section 6.4) are searched behind its name.
#include "base/types.h"
#include "boot/layout.h"

#include <array>

namespace guest {

struct ChannelWindow { // docs/ccw-transport.md
    u64 address = 0;   // 0: there is none
    u32 status_gsi = 0, adapter_gsi = 0;
};

struct Platform {
    std::array<u32, MAX_CPUS> apic_ids{};
    u32 cpu_count = 0;
    u64 ecam = 0xe0000000; // no MCFG: the board's constant
    u64 sleep_control = 0xfea00200;
    u64 reset_register = 0xfea00202;
    u8 reset_value = 0x42;
    ChannelWindow channels;
    u32 bad_tables = 0; // wrong checksum or length
};

extern Platform platform;

void read_acpi(u64 rsdp_address);

} // namespace guest
