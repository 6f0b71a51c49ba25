// SPDX-License-Identifier: Apache-2.0
#include "transports/pci/virtio_pci.h"

#include <array>

namespace godwit::pci {
namespace {

ConfigSpace::Identity identity_of(const virtio::DeviceTraits& traits) {
    return {
        .vendor = kVirtioVendor,
        .device = static_cast<std::uint16_t>(kVirtioDeviceBase + traits.device_id),
        .revision = kVirtioRevision,
        .class_code = traits.pci_class,
        .subsystem_vendor = kVirtioVendor,
        .subsystem = kVirtioSubsystem,
        .interrupt_pin = 1,
    };
}

struct Capability {
    std::uint8_t at;
    std::uint8_t length;
    std::uint8_t type;
    std::uint8_t bar;
    std::uint32_t region;
    std::uint32_t region_length;
    std::uint32_t extra; // the field behind struct virtio_pci_cap, when `length` has room for it
    std::string_view name;
};

// In this order: each new one comes to the front of the list.
constexpr std::array kCapabilities{
    Capability{kCommonCap, kCapLength, VIRTIO_PCI_CAP_COMMON_CFG, kModernBar, kCommonRegion, kRegionSize, 0,
               "common configuration capability"},
    Capability{kIsrCap, kCapLength, VIRTIO_PCI_CAP_ISR_CFG, kModernBar, kIsrRegion, kRegionSize, 0,
               "ISR capability"},
    Capability{kDeviceCap, kCapLength, VIRTIO_PCI_CAP_DEVICE_CFG, kModernBar, kDeviceRegion, kRegionSize, 0,
               "device configuration capability"},
    Capability{kNotifyCap, kCapLengthNotify, VIRTIO_PCI_CAP_NOTIFY_CFG, kModernBar, kNotifyRegion,
               kRegionSize, kNotifyMultiplier, "notification capability"},
    Capability{kPciCfgCap, kCapLengthPciCfg, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, 0,
               "configuration access capability"},
};

} // namespace

VirtioPci::VirtioPci(PciHost& host, virtio::Core& core, std::unique_ptr<Msix> msix)
    : Function(host, core.traits().id, identity_of(core.traits())), core_(core), msix_(std::move(msix)),
      modern_bar_(*this), state_(core.queue_count()) {
    add_capabilities();
    add_bar(kMsixBar, Bars::Kind::Memory32, Msix::kBarSize, *msix_);
    add_bar(kModernBar, Bars::Kind::Memory64Prefetchable, kModernBarSize, modern_bar_);
}

Result<std::unique_ptr<VirtioPci>> VirtioPci::create(PciHost& host, virtio::Core& core,
                                                     InterruptController& interrupts,
                                                     DoorbellRegistry& doorbells,
                                                     std::optional<std::uint8_t> slot) {
    const std::string& id = core.traits().id;
    const auto vectors = static_cast<std::uint16_t>(core.queue_count() + 1);
    auto msix = TRY(Msix::create(id + " MSI-X", vectors, interrupts));
    std::unique_ptr<VirtioPci> function{new VirtioPci{host, core, std::move(msix)}};
    function->doorbells_ =
        TRY_IN(Doorbells::create(id, host.loop(), doorbells, core.queue_count(),
                                 [&core](std::uint16_t queue) { core.queue_notified(queue); }),
               id);
    TRY(function->plug(slot));
    core.attach(*function);
    return function;
}

void VirtioPci::add_capabilities() {
    for (const Capability& capability : kCapabilities) {
        std::array<std::byte, kCapLengthNotify> bytes{};
        const std::span all{bytes};
        bytes[2] = std::byte{capability.length};
        bytes[3] = std::byte{capability.type};
        bytes[kCapBar] = std::byte{capability.bar};
        store_le(all.subspan(kCapOffset), capability.region);
        store_le(all.subspan(kCapLengthField), capability.region_length);
        store_le(all.subspan(kCapExtra), capability.extra);
        config().add_capability(capability.at, PCI_CAP_ID_VNDR, all.first(capability.length).subspan(2),
                                capability.name);
    }
    // What the driver sets up for an access through configuration space.
    config().make_writable(kPciCfgCap + kCapBar, std::uint8_t{0xff});
    config().make_writable(kPciCfgCap + kCapOffset, ~std::uint32_t{0});
    config().make_writable(kPciCfgCap + kCapLengthField, ~std::uint32_t{0});
    config().make_writable(kPciCfgCap + kCapExtra, ~std::uint32_t{0});
    msix_->add_capability(config(), kMsixCap, kMsixBar);
}

// ---- resets

void VirtioPci::device_reset() {
    state_ = VirtioPciState{core_.queue_count()};
    msix_->clear_pending();
    update_intx();
}

void VirtioPci::reset() {
    state_ = VirtioPciState{core_.queue_count()};
    msix_->reset();
    Function::reset();
}

// ---- interrupts

void VirtioPci::notify_queue(std::uint16_t queue) {
    notify_vector(queue < state_.vectors.size() ? state_.vectors[queue] : VIRTIO_MSI_NO_VECTOR);
}

void VirtioPci::notify_config() {
    notify_vector(state_.config_vector);
}

void VirtioPci::notify_vector(std::uint16_t vector) {
    update_intx();
    // A message is a write to memory by the function: it needs bus mastering. NO_VECTOR exists nowhere.
    if (msix_->enabled() && bus_master())
        msix_->notify(vector);
}

// ---- doorbells

Doorbells::Places VirtioPci::doorbell_places() const {
    Doorbells::Places places;
    if (const auto bar = bars().address(kModernBar)) {
        // Any width: drivers write 16 bits, or 32 with VIRTIO_F_NOTIFICATION_DATA.
        for (std::uint64_t i = 0; i < core_.queue_count(); ++i)
            places.push_back({{.address = Gpa{bar->value + kNotifyRegion + i * kNotifyMultiplier}}});
    }
    return places;
}

Status VirtioPci::start_doorbells() {
    doorbells_->start(doorbell_places());
    return {};
}

void VirtioPci::stop_doorbells() {
    doorbells_->stop();
}

void VirtioPci::bars_moved() {
    doorbells_->move(doorbell_places());
}

} // namespace godwit::pci
