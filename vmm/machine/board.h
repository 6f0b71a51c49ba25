// SPDX-License-Identifier: Apache-2.0
//
// The board: addresses and interrupt numbers, said once. They are those of QEMU 7.2's
// `-M microvm,acpi=on,pcie=on,pit=off,pic=off,rtc=off,ioapic2=off,isa-serial=on`, so that a guest can move
// between the two machines: hw/i386/microvm.c, include/hw/i386/microvm.h. Constants only, any thread.
#pragma once

#include "vmm/base/address.h"

#include <cstdint>

namespace godwit::board {

// A piece of the guest physical address space or of the port space.
struct Window {
    std::uint64_t base;
    std::uint64_t size;
    constexpr std::uint64_t end() const { return base + size; } // one past the last
    constexpr bool contains(std::uint64_t address) const { return address >= base && address - base < size; }
    bool operator==(const Window&) const = default;
};

inline constexpr std::uint32_t kMaxCpus = 64;

// RAM: [0, 3 GiB), the rest from 4 GiB; one block, linear in offset (address.h: RamOffset).
inline constexpr std::uint64_t kLowRamLimit = 0xc000'0000;
inline constexpr std::uint64_t kHighRamBase = 0x1'0000'0000;

// The last 64 KiB below 1 MiB are RAM here and an alias of the firmware on QEMU: nothing that must move may
// lie there.
inline constexpr Window kLegacyHole{0xa'0000, 0x6'0000};
inline constexpr Window kFirmwareAlias{0xf'0000, 0x1'0000};

// PCIe host bridge. There is no PCI I/O window and no port 0xcf8.
inline constexpr Window kPcieMmio32{0xc000'0000, 0x2000'0000};
inline constexpr Window kPcieEcam{0xe000'0000,
                                  0x1000'0000}; // 256 buses, identity: base + (bus << 20 | devfn << 12)
// There is only the root bus. Told as 256, Linux looks at every place of all of them: 8192 exits.
inline constexpr std::uint32_t kPcieBusCount = 1;

// The upper quarter of the guest's physical address space, given the width that its CPUID leaf 0x80000008
// reports. Precondition: 36 <= physical_bits <= 52.
constexpr Window pcie_mmio64(std::uint32_t physical_bits) {
    const std::uint64_t size = std::uint64_t{1} << physical_bits;
    return {size / 4 * 3, size / 4};
}

// ACPI generic event device.
inline constexpr Window kGedEvents{0xfea0'0000, 4};    // event selector, 4-byte reads that clear
inline constexpr Window kGedRegisters{0xfea0'0200, 3}; // sleep control, sleep status, reset
inline constexpr std::uint64_t kGedSleepControl = kGedRegisters.base + 0;
inline constexpr std::uint64_t kGedSleepStatus = kGedRegisters.base + 1;
inline constexpr std::uint64_t kGedReset = kGedRegisters.base + 2;
inline constexpr std::uint32_t kGedPowerDown = 0x2;     // event selector bit
inline constexpr std::uint8_t kGedSleepTypeS5 = 5;      // SLP_TYP, bits 4:2 of sleep control
inline constexpr std::uint8_t kGedSleepEnable = 1 << 5; // SLP_EN
inline constexpr std::uint8_t kGedResetValue = 0x42;

// Channel subsystem: registers and doorbells (docs/ccw-transport.md). Only on machines with a device on it;
// QEMU's board has nothing there.
inline constexpr Window kChannelIo{0xfe80'0000, 0x2'0000};

inline constexpr Window kIoApic{0xfec0'0000, 0x1000};
inline constexpr std::uint32_t kIoApicPins = 24; // GSI = pin
inline constexpr Window kLocalApic{0xfee0'0000, 0x1000};
// What KVM on Intel hosts wants for its identity map and TSS; reserved in the guest's memory map as on QEMU.
inline constexpr Window kKvmPrivate{0xfeff'c000, 0x4000};

inline constexpr Window kSerialPorts{0x3f8, 8}; // COM1

// Resets without ACPI; QEMU's board has nothing there.
inline constexpr Window kResetControlPort{0xcf9, 1};
inline constexpr Window kKeyboardCommandPort{0x64, 1};

// Global system interrupts.
inline constexpr std::uint32_t kSerialGsi = 4;
inline constexpr std::uint32_t kGedGsi = 9; // edge
inline constexpr std::uint32_t kPcieIntxGsiBase = 12;
inline constexpr std::uint32_t kPcieIntxCount = 4; // GSIs 12-15, level, active high

inline constexpr std::uint32_t kChannelIoGsi = 16;      // I/O interruptions, edge
inline constexpr std::uint32_t kChannelAdapterGsi = 17; // adapter interruptions, edge

// pin: 0 = INTA. Slot 0 of bus 0 is the host bridge.
constexpr std::uint32_t pcie_intx_gsi(std::uint32_t slot, std::uint32_t pin) {
    return kPcieIntxGsiBase + (slot + pin) % kPcieIntxCount;
}

} // namespace godwit::board
