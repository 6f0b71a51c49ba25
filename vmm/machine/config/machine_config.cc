// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/config/machine_config.h"

#include "devices/virtio/net_mac.h"
#include "vmm/base/address.h"
#include "vmm/machine/board.h"
#include "vmm/machine/config/key_values.h"

#include <set>

namespace godwit {

namespace {

constexpr std::uint64_t kFirstSlot = 1; // 0 is the host bridge
constexpr std::uint64_t kLastSlot = 31;

Result<std::optional<std::uint8_t>> parse_slot(const KeyValues& values) {
    if (values.find("addr") == nullptr)
        return std::optional<std::uint8_t>{};
    return std::optional{static_cast<std::uint8_t>(TRY(values.number("addr", 0, kFirstSlot, kLastSlot)))};
}

} // namespace

Result<DiskConfig> parse_disk(std::string_view text) {
    constexpr std::array<std::string_view, 4> keys{"path", "readonly", "id", "addr"};
    const KeyValues values = TRY(KeyValues::parse("--disk", text, keys));
    DiskConfig disk;
    disk.path = TRY(values.required("path"));
    disk.readonly = TRY(values.flag("readonly", false));
    disk.id = values.text("id");
    disk.slot = TRY(parse_slot(values));
    return disk;
}

Result<NetConfig> parse_net(std::string_view text) {
    constexpr std::array<std::string_view, 5> keys{"tap", "mac", "mtu", "id", "addr"};
    const KeyValues values = TRY(KeyValues::parse("--net", text, keys));
    NetConfig net;
    net.tap = TRY(values.required("tap"));
    if (const std::string* const mac = values.find("mac"))
        net.mac = TRY_IN(virtio::parse_mac(*mac), "--net");
    if (values.find("mtu") != nullptr)
        net.mtu = static_cast<std::uint16_t>(TRY(values.number("mtu", 0, 68, 65535)));
    net.id = values.text("id");
    net.slot = TRY(parse_slot(values));
    return net;
}

Status complete(MachineConfig& config) {
    if (config.memory < kMinMemory || config.memory > kMaxMemory || config.memory % kPageSize != 0)
        return invalid_input("--memory: {} bytes is not a multiple of {} between {} and {}", config.memory,
                             kPageSize, kMinMemory, kMaxMemory);
    if (config.cpus < 1 || config.cpus > board::kMaxCpus)
        return invalid_input("--cpus: {} is not between 1 and {}", config.cpus, board::kMaxCpus);

    std::set<std::string> ids;
    std::set<std::uint8_t> slots;
    const auto claim = [&](std::string_view option, auto& device, std::string fallback) -> Status {
        if (device.id.empty())
            device.id = std::move(fallback);
        if (!ids.insert(device.id).second)
            return invalid_input("{}: id '{}' is used twice", option, device.id);
        if (device.slot && !slots.insert(*device.slot).second)
            return invalid_input("{}: PCI slot {} is used twice", option, *device.slot);
        return {};
    };
    for (std::size_t i = 0; i < config.disks.size(); ++i)
        TRY(claim("--disk", config.disks[i], fmt::format("disk{}", i)));
    for (std::size_t i = 0; i < config.nets.size(); ++i)
        TRY(claim("--net", config.nets[i], fmt::format("net{}", i)));
    if (ids.size() > kLastSlot)
        return invalid_input("{} devices do not fit in {} PCI slots", ids.size(), kLastSlot);
    return {};
}

} // namespace godwit
