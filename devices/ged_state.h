// SPDX-License-Identifier: Apache-2.0
//
// What migrates of the ACPI generic event device: QEMU's section `acpi-ged` (hw/acpi/generic_event_device.c).
#pragma once

#include "migration/state/schema.h"

namespace godwit {

// Memory hotplug is not on our board, but QEMU always sends its selector.
struct GedMemoryHotplug {
    std::uint32_t selector = 0;
    bool operator==(const GedMemoryHotplug&) const = default;
};
struct GedMemoryHotplugRecord {
    GedMemoryHotplug memhp_state;
    bool operator==(const GedMemoryHotplugRecord&) const = default;
};
struct GedSelector {
    std::uint32_t sel = 0;
    bool operator==(const GedSelector&) const = default;
};
struct GedState {
    GedSelector ged_state;
    std::optional<GedMemoryHotplugRecord> memhp;
    bool operator==(const GedState&) const = default;
};

template <>
struct Schema<GedMemoryHotplug> {
    static constexpr std::string_view name = "memory hotplug state";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"selector", &GedMemoryHotplug::selector}};
};
template <>
struct Schema<GedMemoryHotplugRecord> {
    static constexpr std::string_view name = "acpi-ged/memhp";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"memhp_state", &GedMemoryHotplugRecord::memhp_state}};
};
template <>
struct Schema<GedSelector> {
    static constexpr std::string_view name = "acpi-ged-state";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"sel", &GedSelector::sel}};
};
template <>
struct Schema<GedState> {
    static constexpr std::string_view name = "acpi-ged";
    static constexpr std::uint32_t version = 1;
    static constexpr std::uint32_t minimum_version = 1;
    static constexpr std::tuple fields{Field{"ged_state", &GedState::ged_state}};
    static constexpr std::tuple subsections{Subsection{&GedState::memhp}};
};
static_assert(schema_is_complete<GedMemoryHotplug>());
static_assert(schema_is_complete<GedMemoryHotplugRecord>());
static_assert(schema_is_complete<GedSelector>());
static_assert(schema_is_complete<GedState>());

} // namespace godwit
