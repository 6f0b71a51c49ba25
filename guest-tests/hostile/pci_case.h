// SPDX-License-Identifier: Apache-2.0
//
// What the two tables of PCI have in common.
#pragma once

#include "guest-tests/hostile/case.h"

namespace godwit::hostile {

// A case for PCI alone, on the block device unless others are named.
inline Case pci_case(std::string rule, std::string section, Outcome outcome, std::string effect,
                     std::function<void(Attack&)> act, std::span<const Target> targets = kOnlyBlk) {
    return {.rule = std::move(rule),
            .section = std::move(section),
            .targets = targets,
            .transports = kOnlyPci,
            .outcome = outcome,
            .effect = std::move(effect),
            .act = std::move(act)};
}

// What a device that runs has as its status.
inline constexpr std::uint8_t kRunning =
    virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::FEATURES_OK | virtio::DRIVER_OK;

// The place of a register in the common configuration.
constexpr std::uint32_t at(pci::CommonField field) {
    return static_cast<std::uint32_t>(field);
}

} // namespace godwit::hostile
