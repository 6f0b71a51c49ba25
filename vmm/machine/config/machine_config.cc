// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/config/machine_config.h"

#include "devices/virtio/feature_properties.h"
#include "devices/virtio/net_mac.h"
#include "vmm/base/address.h"
#include "vmm/machine/board.h"
#include "vmm/machine/config/key_values.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace godwit {

namespace {

constexpr std::uint64_t kFirstSlot = 1; // 0 is the host bridge
constexpr std::uint64_t kLastSlot = 31;

constexpr std::size_t kMostOnChannelIo = 256;

// "0.0.0001": channel subsystem, subchannel set, four hexadecimal digits. There is one of each of the former.
Result<std::uint16_t> parse_devno(std::string_view option, std::string_view text) {
    constexpr std::string_view kPrefix = "0.0.";
    constexpr std::size_t kDigits = 4;
    const std::string_view digits = text.substr(std::min(kPrefix.size(), text.size()));
    std::uint16_t devno = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), devno, 16);
    if (!text.starts_with(kPrefix) || digits.size() != kDigits || fault != std::errc{} ||
        end != digits.data() + digits.size())
        return invalid_input("{}: devno={} is not of the form 0.0.0001, with four hexadecimal digits", option,
                             text);
    return devno;
}

// The keys of an option, with those of the features that its device has.
std::vector<std::string_view> keys_of(std::uint16_t device_id, std::initializer_list<std::string_view> own) {
    std::vector<std::string_view> keys{own};
    for (const virtio::FeatureProperty& property : virtio::feature_properties(device_id))
        keys.push_back(property.name);
    return keys;
}

// Those that are off, and with them all that need them, unless one of these is asked for.
Result<std::uint64_t> parse_features_off(std::string_view option, const KeyValues& values,
                                         std::uint16_t device_id) {
    const auto properties = virtio::feature_properties(device_id);
    std::uint64_t off = 0, on = 0;
    for (const virtio::FeatureProperty& property : properties)
        if (values.find(property.name) != nullptr)
            (TRY(values.flag(property.name, true)) ? on : off) |= virtio::feature(property.bit);
    std::uint64_t candidates = 0;
    for (const virtio::FeatureProperty& property : properties)
        candidates |= virtio::feature(property.bit);
    const std::uint64_t lost = virtio::features_without_ground(device_id, candidates & ~off, off);
    for (const virtio::FeatureProperty& property : properties)
        if (virtio::has_feature(on & lost, property.bit))
            return invalid_input("{}: {}=on needs a feature that is off (virtio 1.2 section 5.1.3.1)", option,
                                 property.name);
    return off | lost;
}

Result<virtio::ErrorPolicy> parse_policy(const KeyValues& values, std::string_view key, bool for_reads,
                                         virtio::ErrorPolicy fallback) {
    const std::string* const text = values.find(key);
    if (text == nullptr)
        return fallback;
    std::string known;
    for (const auto& [policy, name, reads] : virtio::kErrorPolicies) {
        if (for_reads && !reads)
            continue;
        if (name == *text)
            return policy;
        known += known.empty() ? "" : ", ";
        known += name;
    }
    return invalid_input("--disk: {}={} is none of {}", key, *text, known);
}

Result<PlaceConfig> parse_place(std::string_view option, const KeyValues& values) {
    PlaceConfig place;
    const std::string transport = values.text("transport", "pci");
    if (transport == "ccw")
        place.transport = TransportKind::Ccw;
    else if (transport != "pci")
        return invalid_input("{}: transport={} is neither pci nor ccw", option, transport);
    const std::string* const devno = values.find("devno");
    const bool on_pci = place.transport == TransportKind::Pci;
    if (devno != nullptr && on_pci)
        return invalid_input("{}: devno={} is for transport=ccw", option, *devno);
    if (values.find("addr") != nullptr && !on_pci)
        return invalid_input("{}: addr={} is for transport=pci", option, *values.find("addr"));
    if (devno != nullptr)
        place.devno = TRY(parse_devno(option, *devno));
    if (values.find("addr") != nullptr)
        place.slot = static_cast<std::uint8_t>(TRY(values.number("addr", 0, kFirstSlot, kLastSlot)));
    return place;
}

// Device numbers for those that were given none, in the order of the options.
Status number_channel_devices(MachineConfig& config) {
    std::set<std::uint16_t> taken;
    std::vector<PlaceConfig*> places;
    for (DiskConfig& disk : config.disks)
        places.push_back(&disk.place);
    for (NetConfig& net : config.nets)
        places.push_back(&net.place);
    for (RngConfig& rng : config.rngs)
        places.push_back(&rng.place);
    std::erase_if(places, [](const PlaceConfig* place) { return place->transport != TransportKind::Ccw; });
    if (places.size() > kMostOnChannelIo)
        return invalid_input("{} devices with transport=ccw, at most {} can be", places.size(),
                             kMostOnChannelIo);
    for (const PlaceConfig* const place : places)
        if (place->devno.has_value() && !taken.insert(*place->devno).second)
            return invalid_input("device number 0.0.{:04x} is used twice", *place->devno);
    std::uint16_t next = 1;
    for (PlaceConfig* const place : places) {
        if (place->devno.has_value())
            continue;
        while (!taken.insert(next).second)
            ++next;
        place->devno = next;
    }
    return {};
}

} // namespace

Result<DiskConfig> parse_disk(std::string_view text) {
    const auto keys = keys_of(virtio::kDeviceBlock,
                              {"path", "readonly", "werror", "rerror", "id", "transport", "addr", "devno"});
    const KeyValues values = TRY(KeyValues::parse("--disk", text, keys));
    DiskConfig disk;
    disk.path = TRY(values.required("path"));
    disk.readonly = TRY(values.flag("readonly", false));
    disk.write_errors = TRY(parse_policy(values, "werror", false, virtio::kDefaultWriteErrors));
    disk.read_errors = TRY(parse_policy(values, "rerror", true, virtio::kDefaultReadErrors));
    disk.id = values.text("id");
    disk.place = TRY(parse_place("--disk", values));
    disk.features_off = TRY(parse_features_off("--disk", values, virtio::kDeviceBlock));
    return disk;
}

Result<NetConfig> parse_net(std::string_view text) {
    const auto keys = keys_of(virtio::kDeviceNet, {"tap", "mac", "mtu", "id", "transport", "addr", "devno"});
    const KeyValues values = TRY(KeyValues::parse("--net", text, keys));
    NetConfig net;
    net.tap = TRY(values.required("tap"));
    if (const std::string* const mac = values.find("mac"))
        net.mac = TRY_IN(virtio::parse_mac(*mac), "--net");
    if (values.find("mtu") != nullptr)
        net.mtu = static_cast<std::uint16_t>(TRY(values.number("mtu", 0, 68, 65535)));
    net.id = values.text("id");
    net.place = TRY(parse_place("--net", values));
    net.features_off = TRY(parse_features_off("--net", values, virtio::kDeviceNet));
    return net;
}

Result<RngConfig> parse_rng(std::string_view text) {
    constexpr std::array<std::string_view, 5> keys{"source", "id", "transport", "addr", "devno"};
    RngConfig rng;
    const KeyValues values = TRY(KeyValues::parse("--rng", text, keys));
    rng.source = TRY(values.required("source"));
    rng.id = values.text("id");
    rng.place = TRY(parse_place("--rng", values));
    return rng;
}

Status complete(MachineConfig& config) {
    if (config.memory < kMinMemory || config.memory > kMaxMemory || config.memory % kPageSize != 0)
        return invalid_input("--memory: {} bytes is not a multiple of {} between {} and {}", config.memory,
                             kPageSize, kMinMemory, kMaxMemory);
    if (config.cpus < 1 || config.cpus > board::kMaxCpus)
        return invalid_input("--cpus: {} is not between 1 and {}", config.cpus, board::kMaxCpus);

    std::set<std::string> ids;
    std::set<std::uint8_t> slots;
    std::size_t on_pci = 0;
    const auto claim = [&](std::string_view option, auto& device, std::string fallback) -> Status {
        if (device.id.empty())
            device.id = std::move(fallback);
        if (!ids.insert(device.id).second)
            return invalid_input("{}: id '{}' is used twice", option, device.id);
        const PlaceConfig& place = device.place;
        if (place.slot && !slots.insert(*place.slot).second)
            return invalid_input("{}: PCI slot {} is used twice", option, *place.slot);
        on_pci += place.transport == TransportKind::Pci ? 1 : 0;
        return {};
    };
    for (std::size_t i = 0; i < config.disks.size(); ++i)
        TRY(claim("--disk", config.disks[i], fmt::format("disk{}", i)));
    for (std::size_t i = 0; i < config.nets.size(); ++i)
        TRY(claim("--net", config.nets[i], fmt::format("net{}", i)));
    for (std::size_t i = 0; i < config.rngs.size(); ++i)
        TRY(claim("--rng", config.rngs[i], fmt::format("rng{}", i)));
    if (on_pci > kLastSlot)
        return invalid_input("{} devices do not fit in {} PCI slots", on_pci, kLastSlot);
    return number_channel_devices(config);
}

bool has_channel_io(const MachineConfig& config) {
    const auto on_it = [](const auto& device) { return device.place.transport == TransportKind::Ccw; };
    return std::ranges::any_of(config.disks, on_it) || std::ranges::any_of(config.nets, on_it) ||
           std::ranges::any_of(config.rngs, on_it);
}

} // namespace godwit
