// SPDX-License-Identifier: Apache-2.0
#include "machine/power.h"

#include "machine/acpi.h"
#include "machine/gate.h"
#include "machine/io.h"

namespace guest::power {
namespace {

constexpr u64 event_selector = 0xfea00000;
constexpr u32 power_down_event = 2;
constexpr u8 sleep_type_s5 = 5 << 2, sleep_enable = 1 << 5;
constexpr u16 reset_control_port = 0xcf9, keyboard_port = 0x64;

} // namespace

void off() {
    write_register<u8>(platform.sleep_control, sleep_type_s5 | sleep_enable);
    gate::stop();
}

void reset(std::string_view way) {
    if (way == "chipset") {
        out8(reset_control_port, 2); // how, then do it
        out8(reset_control_port, 6);
        gate::stop();
    }
    if (way == "keyboard") {
        out8(keyboard_port, 0xfe);
        gate::stop();
    }
    write_register<u8>(platform.reset_register, platform.reset_value);
    gate::stop();
}

bool button_pressed() {
    return (read_register<u32>(event_selector) & power_down_event) != 0;
}

} // namespace guest::power
