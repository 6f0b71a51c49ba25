// SPDX-License-Identifier: Apache-2.0
//
// The ACPI tables of the board, as one block of bytes for guest memory. ACPI 6.4 sections 5.2.5-5.2.12,
// hardware-reduced profile; PCI Firmware Specification 3.3 for MCFG. Any thread.
#pragma once

#include "vmm/base/address.h"
#include "vmm/base/result.h"
#include "vmm/machine/board.h"
#include "vmm/machine/e820.h"
#include "vmm/memory/guest_memory.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace godwit::acpi {

struct AcpiConfig {
    std::uint32_t cpu_count = 1; // 1 to board::kMaxCpus; APIC id = index
    board::Window mmio64{0, 0};  // board::pcie_mmio64(); size 0: the bridge gets no 64-bit window
    bool channel_io = false;     // the channel subsystem is there
};

// Below 1 MiB, where a system that is not told finds the RSDP by itself (section 5.2.5.1), and below the
// firmware alias of QEMU, so that the tables move with RAM in both directions.
inline constexpr board::Window kTableWindow{0xe'0000, 0xf000}; // generation.h has the page behind it

struct AcpiBlob {
    std::vector<std::byte> bytes;
    Gpa base;
    Gpa rsdp;
    std::vector<E820Entry> reservations; // for the memory map that the guest gets
};

// InvalidInput: CPU count out of range or a window that does not fit.
Result<AcpiBlob> build_tables(const AcpiConfig& config);

// Writes the blob to its place.
Status place_tables(const AcpiBlob& blob, GuestMemory& memory);

} // namespace godwit::acpi
