// SPDX-License-Identifier: Apache-2.0
//
// Names and numbers of PCI Local Bus 3.0 (section 6: configuration space) and PCI Express (ECAM) that the
// host bridge and its functions use. Constants only, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::pci {

// Configuration space header, section 6.1.
inline constexpr std::uint16_t PCI_VENDOR_ID = 0x00;
inline constexpr std::uint16_t PCI_DEVICE_ID = 0x02;
inline constexpr std::uint16_t PCI_COMMAND = 0x04;
inline constexpr std::uint16_t PCI_STATUS = 0x06;
inline constexpr std::uint16_t PCI_REVISION_ID = 0x08;
inline constexpr std::uint16_t PCI_CLASS_PROG = 0x09;
inline constexpr std::uint16_t PCI_CLASS_DEVICE = 0x0a;
inline constexpr std::uint16_t PCI_CACHE_LINE_SIZE = 0x0c;
inline constexpr std::uint16_t PCI_HEADER_TYPE = 0x0e;
inline constexpr std::uint16_t PCI_BASE_ADDRESS_0 = 0x10;
inline constexpr std::uint16_t PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
inline constexpr std::uint16_t PCI_SUBSYSTEM_ID = 0x2e;
inline constexpr std::uint16_t PCI_CAPABILITY_LIST = 0x34;
inline constexpr std::uint16_t PCI_INTERRUPT_LINE = 0x3c;
inline constexpr std::uint16_t PCI_INTERRUPT_PIN = 0x3d;
inline constexpr std::uint16_t kFirstCapability = 0x40;

// Command register, section 6.2.2.
inline constexpr std::uint16_t PCI_COMMAND_IO = 1 << 0;
inline constexpr std::uint16_t PCI_COMMAND_MEMORY = 1 << 1;
inline constexpr std::uint16_t PCI_COMMAND_MASTER = 1 << 2;
inline constexpr std::uint16_t PCI_COMMAND_SERR = 1 << 8;
inline constexpr std::uint16_t PCI_COMMAND_INTX_DISABLE = 1 << 10;
// Status register, section 6.2.3.
inline constexpr std::uint16_t PCI_STATUS_INTERRUPT = 1 << 3;
inline constexpr std::uint16_t PCI_STATUS_CAP_LIST = 1 << 4;
inline constexpr std::uint16_t kStatusErrors = 0xf900; // the bits that a write of one clears

// Memory base address registers, section 6.2.5.1.
inline constexpr unsigned kBarCount = 6;
inline constexpr std::uint32_t PCI_BASE_ADDRESS_MEM_TYPE_64 = 0x4;
inline constexpr std::uint32_t PCI_BASE_ADDRESS_MEM_PREFETCH = 0x8;
inline constexpr std::uint64_t kBarFlags = 0xf; // low bits of a memory BAR that are not address

// Capabilities, section 6.7.
inline constexpr std::uint8_t PCI_CAP_ID_VNDR = 0x09;
inline constexpr std::uint8_t PCI_CAP_ID_MSIX = 0x11;

// MSI-X, section 6.8.2; offsets inside the capability and inside a table entry.
inline constexpr std::uint16_t PCI_MSIX_FLAGS = 2;
inline constexpr std::uint16_t PCI_MSIX_FLAGS_MASKALL = 1 << 14;
inline constexpr std::uint16_t PCI_MSIX_FLAGS_ENABLE = 1 << 15;
inline constexpr std::size_t PCI_MSIX_ENTRY_SIZE = 16;
inline constexpr std::size_t PCI_MSIX_ENTRY_LOWER_ADDR = 0;
inline constexpr std::size_t PCI_MSIX_ENTRY_UPPER_ADDR = 4;
inline constexpr std::size_t PCI_MSIX_ENTRY_DATA = 8;
inline constexpr std::size_t PCI_MSIX_ENTRY_VECTOR_CTRL = 12;
inline constexpr std::uint32_t PCI_MSIX_ENTRY_CTRL_MASKBIT = 1;

// ECAM (PCI Express 3.0 section 7.2.2): bus, device, function, register.
inline constexpr unsigned kEcamBusShift = 20;
inline constexpr unsigned kEcamSlotShift = 15;
inline constexpr unsigned kEcamFunctionShift = 12;
inline constexpr std::uint64_t kEcamFunctionSize = 4096;
inline constexpr std::uint8_t kSlotCount = 32;
inline constexpr unsigned kIntxPins = 4;

} // namespace godwit::pci
