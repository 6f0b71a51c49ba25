// SPDX-License-Identifier: Apache-2.0
//
// Virtio over PCI: names and layouts of virtio 1.2 section 4.1, and where this transport puts them, which is
// where QEMU 7.2 does for `disable-legacy=on` (a guest may move between the two). Constants only.
//
//     BAR 1, 4 KiB    MSI-X table and pending bits
//     BAR 4, 16 KiB   0x0000 common configuration   0x1000 ISR   0x2000 device configuration   0x3000
//     doorbells
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::pci {

inline constexpr std::uint16_t kVirtioVendor = 0x1af4;
inline constexpr std::uint16_t kVirtioDeviceBase = 0x1040; // plus the virtio device id (section 4.1.2)
inline constexpr std::uint8_t kVirtioRevision = 1;
inline constexpr std::uint16_t kVirtioSubsystem = 0x1100;

// struct virtio_pci_cap (section 4.1.4): vndr, next, len, type, bar, id, padding[2], offset, length.
inline constexpr std::uint8_t kCapLength = 16;
inline constexpr std::uint8_t kCapLengthNotify = 20; // and notify_off_multiplier
inline constexpr std::uint8_t kCapLengthPciCfg = 20; // and pci_cfg_data
inline constexpr std::uint8_t kCapBar = 4;
inline constexpr std::uint8_t kCapOffset = 8;
inline constexpr std::uint8_t kCapLengthField = 12;
inline constexpr std::uint8_t kCapExtra = 16;
inline constexpr std::uint8_t VIRTIO_PCI_CAP_COMMON_CFG = 1;
inline constexpr std::uint8_t VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
inline constexpr std::uint8_t VIRTIO_PCI_CAP_ISR_CFG = 3;
inline constexpr std::uint8_t VIRTIO_PCI_CAP_DEVICE_CFG = 4;
inline constexpr std::uint8_t VIRTIO_PCI_CAP_PCI_CFG = 5;

// Offsets of the capabilities in configuration space.
inline constexpr std::uint8_t kCommonCap = 0x40;
inline constexpr std::uint8_t kIsrCap = 0x50;
inline constexpr std::uint8_t kDeviceCap = 0x60;
inline constexpr std::uint8_t kNotifyCap = 0x70;
inline constexpr std::uint8_t kPciCfgCap = 0x84;
inline constexpr std::uint8_t kMsixCap = 0x98;

inline constexpr unsigned kMsixBar = 1;
inline constexpr unsigned kModernBar = 4;
inline constexpr std::uint32_t kRegionSize = 0x1000; // of each of the four parts of the modern BAR
inline constexpr std::uint32_t kCommonRegion = 0x0000;
inline constexpr std::uint32_t kIsrRegion = 0x1000;
inline constexpr std::uint32_t kDeviceRegion = 0x2000;
inline constexpr std::uint32_t kNotifyRegion = 0x3000;
inline constexpr std::uint32_t kModernBarSize = 0x4000;
inline constexpr std::uint32_t kNotifyMultiplier = 4; // bytes from one queue's doorbell to the next

// struct virtio_pci_common_cfg, section 4.1.4.3: offsets of its fields.
enum class CommonField : std::uint32_t {
    device_feature_select = 0x00,
    device_feature = 0x04,
    driver_feature_select = 0x08,
    driver_feature = 0x0c,
    config_msix_vector = 0x10,
    num_queues = 0x12,
    device_status = 0x14,
    config_generation = 0x15,
    queue_select = 0x16,
    queue_size = 0x18,
    queue_msix_vector = 0x1a,
    queue_enable = 0x1c,
    queue_notify_off = 0x1e,
    queue_desc = 0x20,
    queue_desc_high = 0x24,
    queue_driver = 0x28,
    queue_driver_high = 0x2c,
    queue_device = 0x30,
    queue_device_high = 0x34,
    queue_notify_data = 0x38,
    queue_reset = 0x3a,
};
inline constexpr std::size_t kCommonCfgSize = 0x3c;

inline constexpr std::uint16_t VIRTIO_MSI_NO_VECTOR = 0xffff;

} // namespace godwit::pci
