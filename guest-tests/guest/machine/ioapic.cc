// SPDX-License-Identifier: Apache-2.0
#include "machine/ioapic.h"

#include "machine/gate.h"

namespace guest::ioapic {

void route(u32 pin, u8 vector, Trigger trigger, u32 apic_id) {
    gate::write_ioapic(IOAPIC_REDIRECTION + 2 * pin + 1, apic_id << 24);
    gate::write_ioapic(IOAPIC_REDIRECTION + 2 * pin,
                       vector | (trigger == Trigger::Level ? IOAPIC_LEVEL : 0u));
}

void unmask(u32 pin, u8 vector) {
    gate::write_ioapic(IOAPIC_REDIRECTION + 2 * pin, vector | IOAPIC_LEVEL);
}

} // namespace guest::ioapic
