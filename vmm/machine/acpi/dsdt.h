// SPDX-License-Identifier: Apache-2.0
//
// The DSDT: compiled from dsdt.asl at build time, two values filled in per VM. Any thread.
#pragma once

#include "vmm/base/result.h"
#include "vmm/machine/board.h"

#include <cstddef>
#include <span>
#include <vector>

namespace godwit::acpi {

// As the compiler left it, embedded in the program by embed.py.
std::span<const std::byte> compiled_dsdt();
// The table of the channel subsystem, ssdt_ccw.asl. It is used as it is.
std::span<const std::byte> compiled_ssdt_ccw();

// With the 64-bit PCIe window of this VM; size 0: no such window. This is the only place where AML is
// changed.
Result<std::vector<std::byte>> make_dsdt(board::Window mmio64);

} // namespace godwit::acpi
