// SPDX-License-Identifier: Apache-2.0
#include "machine/ioapic.h"

#include "machine/acpi.h"
#include "machine/io.h"

namespace guest::ioapic {
namespace {

constexpr u32 redirection = 0x10;
constexpr u32 level_triggered = 1 << 15;

void write(u32 index, u32 value) {
    write_register<u32>(platform.io_apic, index);
    write_register<u32>(platform.io_apic + 0x10, value);
}

}  // namespace

void route(u32 pin, u8 vector, Trigger trigger, u32 apic_id) {
    write(redirection + 2 * pin + 1, apic_id << 24);
    write(redirection + 2 * pin, vector | (trigger == Trigger::Level ? level_triggered : 0));
}

}  // namespace guest::ioapic
