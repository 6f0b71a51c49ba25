// SPDX-License-Identifier: Apache-2.0
//
// The registers of a virtio function as the driver sees them: common configuration (virtio 1.2 section
// 4.1.4.3), doorbells (4.1.4.4), ISR (4.1.4.5), device configuration (4.1.4.6), and the window in
// configuration space through which all of these can be reached (4.1.4.9).
#include "transports/pci/virtio_pci.h"

#include <algorithm>
#include <array>

namespace godwit::pci {
namespace {

constexpr std::uint32_t kWindowData = kPciCfgCap + kCapExtra;

// Natural width of a field, 0 for what is none (section 4.1.3.1: the driver uses no other).
constexpr std::size_t width_of(CommonField field) {
    switch (field) {
    case CommonField::device_feature_select:
    case CommonField::device_feature:
    case CommonField::driver_feature_select:
    case CommonField::driver_feature:
    case CommonField::queue_desc:
    case CommonField::queue_desc_high:
    case CommonField::queue_driver:
    case CommonField::queue_driver_high:
    case CommonField::queue_device:
    case CommonField::queue_device_high:
        return 4;
    case CommonField::config_msix_vector:
    case CommonField::num_queues:
    case CommonField::queue_select:
    case CommonField::queue_size:
    case CommonField::queue_msix_vector:
    case CommonField::queue_enable:
    case CommonField::queue_notify_off:
    case CommonField::queue_notify_data:
    case CommonField::queue_reset:
        return 2;
    case CommonField::device_status:
    case CommonField::config_generation:
        return 1;
    }
    return 0;
}

constexpr Gpa join(const std::array<std::uint32_t, 2>& halves) {
    return Gpa{std::uint64_t{halves[1]} << 32 | halves[0]};
}

} // namespace

// ---- the four parts of the modern BAR

void VirtioPci::modern_read(std::uint64_t offset, std::span<std::byte> out) {
    std::fill(out.begin(), out.end(), std::byte{0});
    const auto inside = static_cast<std::uint32_t>(offset % kRegionSize);
    if (inside + out.size() > kRegionSize)
        return;
    switch (offset - inside) {
    case kCommonRegion:
        return common_read(inside, out);
    case kIsrRegion:
        if (inside == 0) {
            out[0] = std::byte{core_.take_isr()};
            update_intx();
        }
        return;
    case kDeviceRegion:
        return core_.read_config(inside, out);
    default: // doorbells are write-only
        return;
    }
}

void VirtioPci::modern_write(std::uint64_t offset, std::span<const std::byte> data) {
    const auto inside = static_cast<std::uint32_t>(offset % kRegionSize);
    if (inside + data.size() > kRegionSize)
        return;
    switch (offset - inside) {
    case kCommonRegion:
        return common_write(inside, data);
    case kDeviceRegion:
        return core_.write_config(inside, data);
    case kNotifyRegion:
        // Normally an eventfd stands in front of this one.
        if (const std::uint32_t queue = inside / kNotifyMultiplier; queue < core_.queue_count())
            core_.queue_notified(static_cast<std::uint16_t>(queue));
        return;
    default: // ISR is read-only
        return;
    }
}

// ---- common configuration

void VirtioPci::common_read(std::uint32_t offset, std::span<std::byte> out) const {
    std::array<std::byte, kCommonCfgSize> image{};
    const auto put = [&image](CommonField field, auto value) {
        store_le(std::span{image}.subspan(static_cast<std::size_t>(field)), value);
    };
    const auto half = [](std::uint64_t features, std::uint32_t select) {
        return select < 2 ? static_cast<std::uint32_t>(features >> 32 * select) : 0;
    };
    put(CommonField::device_feature_select, state_.device_feature_select);
    put(CommonField::device_feature, half(core_.offered_features(), state_.device_feature_select));
    put(CommonField::driver_feature_select, state_.driver_feature_select);
    put(CommonField::driver_feature, half(join(state_.driver_features).value, state_.driver_feature_select));
    put(CommonField::config_msix_vector, state_.config_vector);
    put(CommonField::num_queues, core_.queue_count());
    put(CommonField::device_status, core_.status());
    put(CommonField::config_generation, core_.config_generation());

    const std::uint16_t select = core_.queue_select();
    put(CommonField::queue_select, select);
    put(CommonField::queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    if (const virtio::QueueSetup* const setup = core_.queue(select)) {
        const QueueRegisters& registers = state_.queues[select];
        put(CommonField::queue_size, setup->size);
        put(CommonField::queue_msix_vector, state_.vectors[select]);
        put(CommonField::queue_enable, std::uint16_t{registers.enabled});
        put(CommonField::queue_notify_off, select);
        put(CommonField::queue_desc, registers.desc[0]);
        put(CommonField::queue_desc_high, registers.desc[1]);
        put(CommonField::queue_driver, registers.avail[0]);
        put(CommonField::queue_driver_high, registers.avail[1]);
        put(CommonField::queue_device, registers.used[0]);
        put(CommonField::queue_device_high, registers.used[1]);
    }
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = offset + i < image.size() ? image[offset + i] : std::byte{0};
}

void VirtioPci::common_write(std::uint32_t offset, std::span<const std::byte> data) {
    const CommonField field{offset};
    if (data.size() == 8 && offset >= static_cast<std::uint32_t>(CommonField::queue_desc) &&
        offset % 8 == 0) {
        common_write(offset, data.first(4));
        return common_write(offset + 4, data.subspan(4));
    }
    if (width_of(field) != data.size()) {
        guest_errors_.warning("{}: {} bytes written at {:#x} of the common configuration are ignored", name(),
                              data.size(), offset);
        return;
    }
    std::array<std::byte, 4> bytes{};
    std::copy(data.begin(), data.end(), bytes.begin());
    const auto value = load_le<std::uint32_t>(bytes);
    switch (field) {
    case CommonField::device_feature_select:
        state_.device_feature_select = value;
        break;
    case CommonField::driver_feature_select:
        state_.driver_feature_select = value;
        break;
    case CommonField::driver_feature:
        if (state_.driver_feature_select < 2 && (core_.status() & virtio::FEATURES_OK) == 0) {
            state_.driver_features[state_.driver_feature_select] = value;
            core_.set_driver_features(join(state_.driver_features).value);
        }
        break;
    case CommonField::config_msix_vector:
        state_.config_vector = valid_vector(value);
        break;
    case CommonField::device_status:
        core_.set_status(static_cast<std::uint8_t>(value));
        break;
    case CommonField::queue_select:
        // A larger index names no queue either, and a saved state must not hold one.
        core_.set_queue_select(static_cast<std::uint16_t>(std::min(value, virtio::VIRTIO_QUEUE_MAX - 1)));
        break;
    default:
        write_queue_field(field, value);
    }
}

void VirtioPci::write_queue_field(CommonField field, std::uint32_t value) {
    const std::uint16_t index = core_.queue_select();
    if (core_.queue(index) == nullptr)
        return;
    QueueRegisters& registers = state_.queues[index];
    if (field == CommonField::queue_msix_vector) {
        state_.vectors[index] = valid_vector(value);
        return;
    }
    if (field == CommonField::queue_reset) {
        if (value == 1)
            reset_queue(index);
        return;
    }
    if (registers.enabled)
        return;
    switch (field) {
    case CommonField::queue_size:
        core_.set_queue_size(index, static_cast<std::uint16_t>(value));
        registers.num = core_.queue(index)->size;
        break;
    case CommonField::queue_enable:
        if (value == 1)
            enable_queue(index);
        break;
    case CommonField::queue_desc:
        registers.desc[0] = value;
        break;
    case CommonField::queue_desc_high:
        registers.desc[1] = value;
        break;
    case CommonField::queue_driver:
        registers.avail[0] = value;
        break;
    case CommonField::queue_driver_high:
        registers.avail[1] = value;
        break;
    case CommonField::queue_device:
        registers.used[0] = value;
        break;
    case CommonField::queue_device_high:
        registers.used[1] = value;
        break;
    default: // read-only
        break;
    }
}

void VirtioPci::enable_queue(std::uint16_t index) {
    QueueRegisters& registers = state_.queues[index];
    core_.set_queue_addresses(index, {join(registers.desc), join(registers.avail), join(registers.used)});
    core_.enable_queue(index);
    registers.enabled = core_.queue(index)->enabled;
}

// Section 4.1.4.3.2. Done when the write returns: the driver never reads queue_reset as 1.
void VirtioPci::reset_queue(std::uint16_t index) {
    if (!virtio::has_feature(core_.driver_features(), virtio::VIRTIO_F_RING_RESET))
        return;
    core_.reset_queue(index);
    state_.queues[index] = {};
    state_.queues[index].enabled = core_.queue(index)->enabled;
    state_.vectors[index] = VIRTIO_MSI_NO_VECTOR;
}

// Section 4.1.5.1.2.1: a vector that cannot be used reads back as NO_VECTOR.
std::uint16_t VirtioPci::valid_vector(std::uint32_t vector) const {
    return vector < msix_->vectors() ? static_cast<std::uint16_t>(vector) : VIRTIO_MSI_NO_VECTOR;
}

// ---- configuration space

std::optional<VirtioPci::Window> VirtioPci::config_window() const {
    const auto bar = config().get<std::uint8_t>(kPciCfgCap + kCapBar);
    const auto offset = config().get<std::uint32_t>(kPciCfgCap + kCapOffset);
    const auto length = config().get<std::uint32_t>(kPciCfgCap + kCapLengthField);
    if (bar != kModernBar || (length != 1 && length != 2 && length != 4) || offset % length != 0 ||
        offset > kModernBarSize - length)
        return std::nullopt;
    return Window{offset, length};
}

void VirtioPci::config_will_be_read(std::uint32_t offset, std::size_t length) {
    if (!overlap(offset, length, kWindowData, 4))
        return;
    if (const auto window = config_window()) {
        std::array<std::byte, 4> bytes{};
        modern_read(window->offset, std::span{bytes}.first(window->length));
        config().set(kWindowData, load_le<std::uint32_t>(bytes));
    }
}

void VirtioPci::config_was_written(std::uint32_t offset, std::size_t length) {
    if (overlap(offset, length, PCI_COMMAND, 2))
        core_.set_disabled(!bus_master());
    if (overlap(offset, length, kMsixCap + PCI_MSIX_FLAGS, 2)) {
        msix_->set_control(config().get<std::uint16_t>(kMsixCap + PCI_MSIX_FLAGS));
        update_intx();
    }
    if (overlap(offset, length, kWindowData, 4)) {
        if (const auto window = config_window()) {
            std::array<std::byte, 4> bytes{};
            store_le(std::span{bytes}, config().get<std::uint32_t>(kWindowData));
            modern_write(window->offset, std::span{bytes}.first(window->length));
        }
    }
}

} // namespace godwit::pci
