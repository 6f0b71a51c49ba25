// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/virtio_unit.h"

#include "devices/virtio/blk.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/tap.h"
#include "transports/ccw/virtio_ccw.h"
#include "transports/pci/virtio_pci.h"
#include "vmm/base/log.h"
#include "vmm/machine/guest.h"

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <sys/random.h>

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
        transport_kind_ = place.transport;
        transport_ = TRY_IN(plug_in(places, core_, place), device_->traits().id);
        return {};
    }

    virtio::Core& core() override { return core_; }
    std::string_view transport() const override {
        return transport_kind_ == TransportKind::Pci ? "pci" : "ccw";
    }
    void reset() override {
        core_.machine_reset();
        transport_->reset();
    }

  protected:
    Device& device() { return *device_; }

  private:
    std::unique_ptr<Device> device_;
    virtio::Core core_;
    TransportKind transport_kind_ = TransportKind::Pci;
    std::unique_ptr<virtio::Transport> transport_;
};

class DiskUnit final : public PluggedUnit<virtio::Blk> {
  public:
    using PluggedUnit::PluggedUnit;
    void describe(migration::DeviceDescription& device_description) override {
        const virtio::BlkImage& image = device().image();
        device_description.blk = {image.sectors(),   device().block_size(), image.readonly(),
                                  device().serial(), image.lock_mark(),     discard_description()};
    }
    void describe_host(const migration::DeviceDescription* guest, migration::HostState& host) override {
        const virtio::BlkImage& image = device().image();
        const std::uint64_t mark = guest != nullptr && guest->blk ? guest->blk->lock_mark : 0;
        host.disks.push_back({device().traits().id, image.path(), image.bytes_at_start(),
                              image.current_bytes(), image.locked_by_stranger(mark)});
    }
    Status acquire() override { return device().lock(); }
    Status relinquish() override { return device().unlock(); }
    bool stalled() override { return device().stalled(); }
    std::shared_ptr<virtio::StableStorage> storage() override {
        return device().image().readonly() ? nullptr : device().image().storage();
    }
    std::optional<DiskContent> disk_content() override {
        const virtio::BlkImage& image = device().image();
        return DiskContent{device().traits().id, image.current_bytes(), image.modified()};
    }

  private:
    migration::DiscardDescription discard_description() {
        const virtio::virtio_blk_config config = device().config();
        return {config.discard_sector_alignment, config.max_discard_sectors,
                config.write_zeroes_may_unmap != 0};
    }
};

class NetUnit final : public PluggedUnit<virtio::Net> {
  public:
    // The device owns the tap.
    NetUnit(const UnitPlaces& places, std::unique_ptr<virtio::Net> net, const virtio::Tap& tap)
        : PluggedUnit(places, std::move(net)), tap_(tap) {}
    void describe(migration::DeviceDescription& device_description) override {
        device_description.net = {device().own_mac(), device().mtu(), device().adopts_mac()};
    }
    void adopt(const migration::DeviceDescription& guest) override {
        if (guest.net)
            device().adopt_mac(guest.net->mac);
    }
    void describe_host(const migration::DeviceDescription*, migration::HostState& host) override {
        const Status present = tap_.check_present();
        host.taps.push_back({device().traits().id, tap_.interface_name(),
                             present.ok() ? "" : present.error().text, tap_.lack()});
    }

  private:
    const virtio::Tap& tap_;
};

// Nothing of it depends on the host.
class RngUnit final : public PluggedUnit<virtio::Rng> {
  public:
    using PluggedUnit::PluggedUnit;
    void describe(migration::DeviceDescription&) override {}
    void describe_host(const migration::DeviceDescription*, migration::HostState&) override {}
};

// One guest's interface among all: the host, the guest's name there, the tap, which only one guest has.
Result<std::string> interface_identity(std::string_view machine, std::string_view tap) {
    std::string host;
    std::getline(std::ifstream{"/etc/machine-id"}, host);
    if (host.empty() || host == "uninitialized") {
        // A container may have none.
        std::array<std::byte, 16> random{};
        if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
            return system_error(errno, "a random address");
        for (const std::byte byte : random)
            host += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    }
    return fmt::format("{}\n{}\n{}", host, machine, tap);
}

template <class Unit, class Device, class... More>
Result<std::unique_ptr<VirtioUnit>> plugged(const UnitPlaces& places, const PlaceConfig& place,
                                            std::unique_ptr<Device> device, More&... more) {
    auto unit = std::make_unique<Unit>(places, std::move(device), more...);
    TRY(unit->plug(places, place));
    return std::unique_ptr<VirtioUnit>{std::move(unit)};
}

} // namespace

Result<std::unique_ptr<VirtioUnit>> make_disk_unit(const UnitPlaces& places, const DiskConfig& config) {
    virtio::BlkOptions options;
    options.id = config.id;
    options.serial = config.id;
    options.features_off = config.features_off;
    options.write_errors = config.write_errors;
    options.read_errors = config.read_errors;
    options.failed = [&events = places.events, id = config.id](const virtio::BlkError& failure) {
        events.disk_failed(
            {id, failure.write, to_string(failure.action), failure.errno_value == ENOSPC, failure.text});
    };
    auto image = TRY_IN(virtio::BlkImage::open(config.path, config.readonly), config.id);
    return plugged<DiskUnit>(places, config.place,
                             TRY(virtio::Blk::create(places.loop, std::move(image), options)));
}

Result<std::unique_ptr<VirtioUnit>> make_net_unit(const UnitPlaces& places, const NetConfig& config,
                                                  std::string_view machine) {
    virtio::NetOptions options;
    options.id = config.id;
    options.identity = TRY(interface_identity(machine, config.tap));
    options.mac = config.mac;
    options.mtu = config.mtu;
    options.features_off = config.features_off;
    auto tap = TRY_IN(virtio::Tap::open(config.tap), config.id);
    const virtio::Tap& raw = *tap;
    if (const std::string lack = raw.lack(); !lack.empty())
        log::warning("{}: {} {}", config.id, raw.name(), lack);
    auto net = TRY(virtio::Net::create(options, std::move(tap), places.loop));
    return plugged<NetUnit>(places, config.place, std::move(net), raw);
}

Result<std::unique_ptr<VirtioUnit>> make_rng_unit(const UnitPlaces& places, const RngConfig& config) {
    auto source = TRY_IN(virtio::open_entropy(config.source), config.id);
    return plugged<RngUnit>(places, config.place,
                            std::make_unique<virtio::Rng>(config.id, std::move(source), places.loop));
}

} // namespace godwit
