// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/virtio_unit.h"

#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/tap.h"
#include "transports/pci/virtio_pci.h"

#include <unistd.h>

namespace godwit {

namespace {

// A device on virtio-pci. Members are in the order of their dependence: the transport goes first.
template <class Device>
class PciUnit : public VirtioUnit {
  public:
    PciUnit(const UnitPlaces& places, std::unique_ptr<Device> device)
        : device_(std::move(device)), core_(*device_, places.memory) {}

    Status plug(const UnitPlaces& places, std::optional<std::uint8_t> slot) {
        transport_ =
            TRY_IN(pci::VirtioPci::create(places.pci, core_, places.interrupts, places.doorbells, slot),
                   device_->traits().id);
        return {};
    }

    virtio::Core& core() override { return core_; }
    void reset() override {
        core_.machine_reset();
        transport_->reset();
    }

  protected:
    Device& device() { return *device_; }

  private:
    std::unique_ptr<Device> device_;
    virtio::Core core_;
    std::unique_ptr<pci::VirtioPci> transport_;
};

class DiskUnit final : public PciUnit<virtio::Blk> {
  public:
    using PciUnit::PciUnit;
    Status acquire() override { return device().lock(); }
    Status relinquish() override { return device().unlock(); }
    void prepare_to_relinquish() override {
        ::fdatasync(device().image().fd().get());
    } // unlock() sees errors
};

using NetUnit = PciUnit<virtio::Net>;

template <class Unit, class Device>
Result<std::unique_ptr<VirtioUnit>> plugged(const UnitPlaces& places, std::unique_ptr<Device> device,
                                            std::optional<std::uint8_t> slot) {
    auto unit = std::make_unique<Unit>(places, std::move(device));
    TRY(unit->plug(places, slot));
    return std::unique_ptr<VirtioUnit>{std::move(unit)};
}

} // namespace

Result<std::unique_ptr<VirtioUnit>> make_disk_unit(const UnitPlaces& places, const DiskConfig& config) {
    virtio::BlkOptions options;
    options.id = config.id;
    options.serial = config.id;
    auto image = TRY_IN(virtio::BlkImage::open(config.path, config.readonly), config.id);
    return plugged<DiskUnit>(places, TRY(virtio::Blk::create(places.loop, std::move(image), options)),
                             config.slot);
}

Result<std::unique_ptr<VirtioUnit>> make_net_unit(const UnitPlaces& places, const NetConfig& config) {
    virtio::NetOptions options;
    options.id = config.id;
    options.tap = config.tap;
    options.mac = config.mac;
    options.mtu = config.mtu;
    auto tap = TRY_IN(virtio::Tap::open(config.tap), config.id);
    return plugged<NetUnit>(places, TRY(virtio::Net::create(options, std::move(tap), places.loop)),
                            config.slot);
}

} // namespace godwit
