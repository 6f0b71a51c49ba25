// SPDX-License-Identifier: Apache-2.0
#pragma once
// irq=msix|intx|poll
#include "base/options.h"
#include "machine/interrupts.h"

namespace guest {

inline interrupts::Mode interrupt_mode() {
    static constinit bool known = false;
    static constinit interrupts::Mode mode = interrupts::Mode::Msix;
    if (!known) {
        std::string_view text = options.text("irq", "msix");
        mode = text == "intx" ? interrupts::Mode::Intx : text == "poll" ? interrupts::Mode::Poll : mode;
        known = true;
    }
    return mode;
}

} // namespace guest
