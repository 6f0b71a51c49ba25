// SPDX-License-Identifier: Apache-2.0
#include "devices/ged.h"

#include "vmm/base/bytes.h"

#include <algorithm>

namespace godwit {

namespace {

// Offsets in the sleep range, and the values that mean something there.
constexpr std::uint64_t kSleepControl = 0;
constexpr std::uint64_t kResetRegister = 2;
constexpr unsigned kSleepTypeShift = 2;
constexpr unsigned kSleepTypeMask = 7;
constexpr unsigned kSleepTypeS5 = 5; // as \_S5 in the DSDT says
constexpr unsigned kSleepEnable = 0x20;
constexpr unsigned kResetValue = 0x42; // as RESET_VALUE in the FADT says

} // namespace

void Ged::raise(std::uint32_t event) {
    pending_.fetch_or(event);
    irq_.pulse();
}

GedState Ged::capture() const {
    return {{pending_.load()}, GedMemoryHotplugRecord{{memory_hotplug_selector_.load()}}};
}

void Ged::apply(const GedState& state) {
    pending_.store(state.ged_state.sel);
    memory_hotplug_selector_.store(state.memhp.value_or(GedMemoryHotplugRecord{}).memhp_state.selector);
}

// Only the whole word takes the events: a narrower read would lose some.
void Ged::SelectorRegister::read(std::uint64_t offset, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
    if (offset == 0 && data.size() == sizeof(std::uint32_t))
        store_le(data, ged_.pending_.exchange(0));
}

void Ged::SleepRegisters::read(std::uint64_t, std::span<std::byte> data) {
    std::fill(data.begin(), data.end(), std::byte{0});
}

void Ged::SleepRegisters::write(std::uint64_t offset, std::span<const std::byte> data) {
    for (const std::byte byte : data) {
        const auto value = std::to_integer<unsigned>(byte);
        if (offset == kSleepControl && (value & kSleepEnable) != 0 &&
            (value >> kSleepTypeShift & kSleepTypeMask) == kSleepTypeS5)
            ged_.events_.power_off();
        else if (offset == kResetRegister && value == kResetValue)
            ged_.events_.reset_requested();
        ++offset;
    }
}

} // namespace godwit
