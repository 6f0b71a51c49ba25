// SPDX-License-Identifier: Apache-2.0
//
// Registers with which a boot processor starts. Application processors are left as KVM makes them: waiting
// for their start-up interrupt. The vCPU must be parked and new, or reset.
#pragma once

#include "vmm/base/address.h"
#include "vmm/kvm/vcpu.h"

namespace godwit::kvm {

// Xen's PVH start (xen/docs/misc/pvh.pandoc, "x86/HVM direct boot ABI"): 32-bit protected mode, flat
// segments, paging off, ebx = start info.
Status set_pvh_entry(Vcpu& vcpu, Gpa entry, Gpa start_info);

// Linux Documentation/arch/x86/boot.rst, "64-bit boot protocol": long mode with identity page tables, flat
// segments 0x10 and 0x18 of a GDT in guest memory, interrupts off, rsi = zero page. What the addresses point
// at is the caller's.
struct LinuxEntry {
    Gpa entry;
    Gpa zero_page;
    Gpa page_tables; // PML4
    Gpa gdt;         // kBootGdt
    Gpa stack;       // not required by the protocol; used by the first instructions of some loaders
};
Status set_linux64_entry(Vcpu& vcpu, const LinuxEntry& entry);

// The table that LinuxEntry::gdt has to hold: null, unused, 64-bit code at 0x10, data at 0x18.
inline constexpr std::uint64_t kBootGdt[] = {0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff};

} // namespace godwit::kvm
