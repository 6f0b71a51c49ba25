// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/compare.h"

#include <algorithm>
#include <bit>

namespace godwit::migration {

namespace {

constexpr std::uint64_t kBlkReadOnlyFeature = std::uint64_t{1} << 5; // VIRTIO_BLK_F_RO, told as blk.read-only
constexpr std::uint64_t kBlkDiscardFeatures = std::uint64_t{3}
                                              << 13; // VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES
constexpr std::uint64_t kNetMtuFeature = std::uint64_t{1} << 3; // VIRTIO_NET_F_MTU, told as net.mtu

std::string mac_text(const std::array<std::uint8_t, 6>& mac) {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                       mac[5]);
}
std::string mtu_text(const std::optional<std::uint16_t>& mtu) {
    return mtu ? value_text(*mtu) : "unset";
}
std::string unmap_text(bool unmaps) {
    return unmaps ? "may give space back" : "never gives space back";
}
std::string_view access_text(bool read_only) {
    return read_only ? "read-only" : "writable";
}

// One device against its counterpart.
class Pair {
  public:
    Pair(const DeviceDescription& source, const DeviceDescription& here, Differences& found)
        : source_(source), here_(here), found_(found) {}

    void compare(const FeatureName& feature_name) {
        if (source_.type != here_.type)
            return add(Reason::DeviceType, {source_.type, here_.type}); // the rest would be noise
        if (source_.transport != here_.transport)
            add(Reason::DeviceTransport, {source_.transport, here_.transport});
        else if (source_.place != here_.place)
            add(Reason::DevicePlace, {source_.place, here_.place});
        if (source_.state_version > here_.state_version ||
            source_.state_version < here_.state_minimum_version)
            add(Reason::StateSectionVersion,
                {value_text(source_.state_version), source_.type, value_text(here_.state_minimum_version),
                 value_text(here_.state_version)});
        features(feature_name);
        queues();
        if (source_.blk && here_.blk)
            blk(*source_.blk, *here_.blk);
        if (source_.net && here_.net)
            net(*source_.net, *here_.net);
    }

  private:
    void add(Reason reason, std::initializer_list<std::string> values) {
        found_.push_back(difference(reason, here_.subject(), values));
    }

    void features(const FeatureName& feature_name) {
        const std::uint64_t told_apart = (source_.blk && here_.blk ? kBlkReadOnlyFeature : 0) |
                                         (source_.net && here_.net ? kNetMtuFeature : 0);
        for (std::uint64_t bits = (source_.features ^ here_.features) & ~told_apart; bits != 0;
             bits &= bits - 1) {
            const auto bit = static_cast<unsigned>(std::countr_zero(bits));
            const bool at_source = (source_.features >> bit & 1) != 0;
            add(at_source ? Reason::DeviceFeatureMissing : Reason::DeviceFeatureExtra,
                {feature_name(here_.device_id, bit)});
        }
    }

    void queues() {
        if (source_.queue_sizes.size() != here_.queue_sizes.size())
            return add(Reason::DeviceQueueCount,
                       {value_text(source_.queue_sizes.size()), value_text(here_.queue_sizes.size())});
        for (std::size_t i = 0; i < here_.queue_sizes.size(); ++i)
            if (source_.queue_sizes[i] != here_.queue_sizes[i])
                add(Reason::DeviceQueueSize,
                    {value_text(i), value_text(source_.queue_sizes[i]), value_text(here_.queue_sizes[i])});
    }

    void blk(const BlkDescription& source, const BlkDescription& here) {
        if (source.sectors != here.sectors)
            add(Reason::BlkCapacity, {value_text(source.sectors), value_text(here.sectors)});
        if (source.block_size != here.block_size)
            add(Reason::BlkBlockSize, {value_text(source.block_size), value_text(here.block_size)});
        if (source.read_only != here.read_only)
            add(Reason::BlkReadOnly,
                {value_text(access_text(source.read_only)), value_text(access_text(here.read_only))});
        if (source.serial != here.serial)
            add(Reason::BlkSerial, {source.serial, here.serial});
        // Where only one side offers it, that is the difference.
        if (((source_.features ^ here_.features) & kBlkDiscardFeatures) == 0)
            discard(source.discard, here.discard);
    }

    void discard(const DiscardDescription& source, const DiscardDescription& here) {
        if (source.alignment != here.alignment || source.max_sectors != here.max_sectors)
            add(Reason::BlkDiscard, {value_text(source.alignment), value_text(source.max_sectors),
                                     value_text(here.alignment), value_text(here.max_sectors)});
        if (source.zeroing_unmaps != here.zeroing_unmaps)
            add(Reason::BlkUnmap, {unmap_text(source.zeroing_unmaps), unmap_text(here.zeroing_unmaps)});
    }

    void net(const NetDescription& source, const NetDescription& here) {
        if (source.mac != here.mac && !here.adopts_mac)
            add(Reason::NetMac, {mac_text(source.mac), mac_text(here.mac)});
        if (source.mtu != here.mtu)
            add(Reason::NetMtu, {mtu_text(source.mtu), mtu_text(here.mtu)});
    }

    const DeviceDescription& source_;
    const DeviceDescription& here_;
    Differences& found_;
};

} // namespace

void compare_devices(const MachineDescription& source, const MachineDescription& destination,
                     const FeatureName& feature_name, Differences& found) {
    std::vector<const DeviceDescription*> left;
    for (const DeviceDescription& device : destination.devices)
        left.push_back(&device);
    const auto take = [&](auto&& matches) -> const DeviceDescription* {
        const auto at = std::ranges::find_if(left, [&](const auto* device) { return matches(*device); });
        if (at == left.end())
            return nullptr;
        const DeviceDescription* const device = *at;
        left.erase(at);
        return device;
    };

    std::vector<const DeviceDescription*> unmatched;
    for (const DeviceDescription& theirs : source.devices) {
        if (const auto* const ours = take([&](const auto& device) { return device.id == theirs.id; }))
            Pair{theirs, *ours, found}.compare(feature_name);
        else
            unmatched.push_back(&theirs);
    }
    for (const DeviceDescription* const theirs : unmatched) {
        const auto* const ours = take([&](const auto& device) {
            return device.place == theirs->place && device.transport == theirs->transport &&
                   device.type == theirs->type;
        });
        if (ours == nullptr) {
            found.push_back(difference(Reason::DeviceMissing, theirs->subject()));
            continue;
        }
        found.push_back(difference(Reason::DeviceId, ours->subject(), {theirs->place, theirs->id}));
        Pair{*theirs, *ours, found}.compare(feature_name);
    }
    for (const DeviceDescription* const device : left)
        found.push_back(difference(Reason::DeviceExtra, device->subject()));
}

} // namespace godwit::migration
