// SPDX-License-Identifier: Apache-2.0
#pragma once
// The machine's ends, and its power button: ACPI generic event device, sleep control and reset registers.
#include "base/types.h"

#include <string_view>

namespace guest::power {

[[noreturn]] void off();
// By the reset register that ACPI tells, or by a PC's ports: "chipset", "keyboard".
[[noreturn]] void reset(std::string_view way);

// Reads and clears the event selector; true if the power button was among the events.
bool button_pressed();

} // namespace guest::power
