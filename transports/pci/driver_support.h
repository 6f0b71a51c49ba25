// SPDX-License-Identifier: Apache-2.0
//
// For tests: a driver's view of a virtio function in one slot, through ECAM and BARs only.
#pragma once

#include "transports/pci/test_support.h"

namespace godwit::pci::testing {

class PciDriver {
  public:
    static constexpr std::uint64_t kMsixAt = kWindow32 + 0x1'0000;
    static constexpr std::uint64_t kModernAt = kWindow64 + 0x10'0000;
    static constexpr std::uint16_t kCommand = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

    // Each slot has its own place for BARs.
    explicit PciDriver(Board& board, std::uint32_t slot = 1) : board_(board), slot_(slot) {}

    std::uint64_t msix_at() const { return kMsixAt + slot_ * 0x1000; }
    std::uint64_t modern_at() const { return kModernAt + slot_ * 0x4000; }
    std::uint64_t doorbell(std::uint32_t queue) const { return modern_at() + kNotifyRegion + 4 * queue; }

    void enable(std::uint16_t command = kCommand) {
        config_write(PCI_BASE_ADDRESS_0 + 4 * kMsixBar, static_cast<std::uint32_t>(msix_at()));
        config_write(PCI_BASE_ADDRESS_0 + 4 * kModernBar, static_cast<std::uint32_t>(modern_at()));
        config_write(PCI_BASE_ADDRESS_0 + 4 * kModernBar + 4, static_cast<std::uint32_t>(modern_at() >> 32));
        config_write(PCI_COMMAND, command);
    }

    template <std::unsigned_integral T>
    T config_read(std::uint32_t reg) {
        return board_.config<T>(slot_, reg);
    }
    template <std::unsigned_integral T>
    void config_write(std::uint32_t reg, T value) {
        board_.set_config(slot_, reg, value);
    }

    template <std::unsigned_integral T>
    T get(CommonField field) {
        return board_.read<T>(modern_at() + static_cast<std::uint32_t>(field));
    }
    template <std::unsigned_integral T>
    void set(CommonField field, T value) {
        board_.write(modern_at() + static_cast<std::uint32_t>(field), value);
    }
    std::uint8_t isr() { return board_.read<std::uint8_t>(modern_at() + kIsrRegion); }
    std::uint8_t status() { return get<std::uint8_t>(CommonField::device_status); }
    void set_status(std::uint8_t value) { set(CommonField::device_status, value); }

    std::uint64_t offered() {
        std::uint64_t features = 0;
        for (std::uint32_t half = 0; half < 2; ++half) {
            set(CommonField::device_feature_select, half);
            features |= std::uint64_t{get<std::uint32_t>(CommonField::device_feature)} << 32 * half;
        }
        return features;
    }
    void accept(std::uint64_t features) {
        for (std::uint32_t half = 0; half < 2; ++half) {
            set(CommonField::driver_feature_select, half);
            set(CommonField::driver_feature, static_cast<std::uint32_t>(features >> 32 * half));
        }
    }
    void open_vector(std::uint32_t vector) {
        board_.write(msix_at() + 16 * vector, std::uint32_t{0xfee0'0000});
        board_.write(msix_at() + 16 * vector + 4, std::uint32_t{0});
        board_.write(msix_at() + 16 * vector + 8, 0x40 + vector);
        board_.write(msix_at() + 16 * vector + 12, std::uint32_t{0});
    }
    void enable_msix() {
        config_write(kMsixCap + PCI_MSIX_FLAGS, static_cast<std::uint16_t>(PCI_MSIX_FLAGS_ENABLE));
    }

    // Negotiates: ACKNOWLEDGE, DRIVER, features, FEATURES_OK.
    void negotiate(std::uint64_t features = virtio::feature(virtio::VIRTIO_F_VERSION_1)) {
        set_status(0);
        set_status(virtio::ACKNOWLEDGE);
        set_status(virtio::ACKNOWLEDGE | virtio::DRIVER);
        accept(features);
        set_status(virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::FEATURES_OK);
    }
    void set_up_queue(std::uint16_t index, const virtio::FakeDriver& ring,
                      std::uint16_t vector = VIRTIO_MSI_NO_VECTOR) {
        set(CommonField::queue_select, index);
        set(CommonField::queue_size, ring.size());
        set(CommonField::queue_msix_vector, vector);
        set(CommonField::queue_desc, static_cast<std::uint32_t>(ring.addresses().desc.value));
        set(CommonField::queue_desc_high, std::uint32_t{0});
        set(CommonField::queue_driver, ring.addresses().driver.value); // eight bytes at once
        set(CommonField::queue_device, static_cast<std::uint32_t>(ring.addresses().device.value));
        set(CommonField::queue_device_high, std::uint32_t{0});
        set(CommonField::queue_enable, std::uint16_t{1});
    }
    void go() { set_status(virtio::ACKNOWLEDGE | virtio::DRIVER | virtio::FEATURES_OK | virtio::DRIVER_OK); }

  private:
    Board& board_;
    std::uint32_t slot_;
};

} // namespace godwit::pci::testing
