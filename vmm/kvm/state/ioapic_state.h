// SPDX-License-Identifier: Apache-2.0
//
// The "ioapic" record (QEMU 7.2 hw/intc/ioapic_common.c). The levels of the pins are not in it: devices raise
// theirs again when they are loaded.
#pragma once

#include "migration/state/schema.h"
#include "vmm/kvm/irq.h"

#include <array>

namespace godwit::kvm {

struct IoApicState {
    std::uint8_t id = 0;
    std::uint8_t ioregsel = 0;
    std::uint32_t irr = 0; // one bit per pin
    std::array<std::uint64_t, kIoApicPins> ioredtbl{};
    bool operator==(const IoApicState&) const = default;
};

} // namespace godwit::kvm

namespace godwit {

template <>
struct Schema<kvm::IoApicState> {
    using S = kvm::IoApicState;
    static constexpr std::string_view name = "ioapic";
    static constexpr std::uint32_t version = 3, minimum_version = 1;
    static constexpr std::tuple fields{Field{"id", &S::id}, Field{"ioregsel", &S::ioregsel},
                                       Unused{"unused", 8, 2}, Field{"irr", &S::irr, 2},
                                       Field{"ioredtbl", &S::ioredtbl}};
    static Status validate(const S& state) {
        if (state.irr >> kvm::kIoApicPins != 0)
            return corrupt("requests {:#x} of pins that do not exist", state.irr);
        if (state.id > 0xf)
            return corrupt("id {:#x}", state.id);
        return {};
    }
};
static_assert(schema_is_complete<kvm::IoApicState>());

} // namespace godwit
