// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/virtio_unit.h"

#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/tap.h"
#include "transports/ccw/virtio_ccw.h"
#include "transports/pci/virtio_pci.h"

#include <unistd.h>

namespace godwit {

namespace {

Result<std::unique_ptr<virtio::Transport>> plug_in(const UnitPlaces& places, virtio::Core& core,
                                                   const PlaceConfig& place) {
    if (place.transport == TransportKind::Pci)
        return std::unique_ptr<virtio::Transport>{
            TRY(pci::VirtioPci::create(places.pci, core, places.interrupts, places.doorbells, place.slot))};
    if (places.css == nullptr || !place.devno.has_value())
        return error(ErrorCode::Internal, "no channel subsystem, or no device number on it");
    return std::unique_ptr<virtio::Transport>{
        TRY(ccw::VirtioCcw::create(*places.css, core, places.doorbells, *place.devno))};
}

// A device on either transport. Members are in the order of their dependence: the transport goes first.
template <class Device>
class PluggedUnit : public VirtioUnit {
  public:
    PluggedUnit(const UnitPlaces& places, std::unique_ptr<Device> device)
        : device_(std::move(device)), core_(*device_, places.memory) {}

    Status plug(const UnitPlaces& places, const PlaceConfig& place) {
        transport_ = TRY_IN(plug_in(places, core_, place), device_->traits().id);
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
    std::unique_ptr<virtio::Transport> transport_;
};

class DiskUnit final : public PluggedUnit<virtio::Blk> {
  public:
    using PluggedUnit::PluggedUnit;
    Status acquire() override { return device().lock(); }
    Status relinquish() override { return device().unlock(); }
    void prepare_to_relinquish() override {
        ::fdatasync(device().image().fd().get());
    } // unlock() sees errors
};

using NetUnit = PluggedUnit<virtio::Net>;

template <class Unit, class Device>
Result<std::unique_ptr<VirtioUnit>> plugged(const UnitPlaces& places, std::unique_ptr<Device> device,
                                            const PlaceConfig& place) {
    auto unit = std::make_unique<Unit>(places, std::move(device));
    TRY(unit->plug(places, place));
    return std::unique_ptr<VirtioUnit>{std::move(unit)};
}

} // namespace

Result<std::unique_ptr<VirtioUnit>> make_disk_unit(const UnitPlaces& places, const DiskConfig& config) {
    virtio::BlkOptions options;
    options.id = config.id;
    options.serial = config.id;
    auto image = TRY_IN(virtio::BlkImage::open(config.path, config.readonly), config.id);
    return plugged<DiskUnit>(places, TRY(virtio::Blk::create(places.loop, std::move(image), options)),
                             config.place);
}

Result<std::unique_ptr<VirtioUnit>> make_net_unit(const UnitPlaces& places, const NetConfig& config) {
    virtio::NetOptions options;
    options.id = config.id;
    options.tap = config.tap;
    options.mac = config.mac;
    options.mtu = config.mtu;
    auto tap = TRY_IN(virtio::Tap::open(config.tap), config.id);
    return plugged<NetUnit>(places, TRY(virtio::Net::create(options, std::move(tap), places.loop)),
                            config.place);
}

} // namespace godwit
