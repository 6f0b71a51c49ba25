// SPDX-License-Identifier: Apache-2.0
//
// A machine as the other side needs to know it before a guest moves: what the guest can observe and what the
// state stream will name. HELLO and its reply carry one. Values; encoding and decoding are pure functions.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace godwit::migration {

// What the guest is told of how its disk gives space back; zeros where it does not offer that.
struct DiscardDescription {
    std::uint32_t alignment = 0; // sectors
    std::uint32_t max_sectors = 0;
    bool zeroing_unmaps = false;
    bool operator==(const DiscardDescription&) const = default;
};

struct BlkDescription {
    std::uint64_t sectors = 0; // of 512 bytes
    std::uint32_t block_size = 0;
    bool read_only = false;
    std::string serial;
    // Marks the source's lock of the disk's file, so that a destination that sees the same file knows whose
    // lock it finds there (devices/virtio/blk_image.h). 0: it has none.
    std::uint64_t lock_mark = 0;
    DiscardDescription discard = {};
    bool operator==(const BlkDescription&) const = default;
};

struct NetDescription {
    std::array<std::uint8_t, 6> mac{};
    std::optional<std::uint16_t> mtu;
    bool adopts_mac = false; // a destination's: it takes the guest's; not told to the other side
    bool operator==(const NetDescription&) const = default;
};

struct DeviceDescription {
    std::string id;              // the operator's: "net0"
    std::string type;            // name of its state record: "virtio-net"
    std::uint16_t device_id = 0; // virtio 1.2 section 5
    std::string transport;       // "pci"
    std::string place;           // on the transport: "0000:00:01.0"
    std::uint32_t state_version = 1;
    std::uint32_t state_minimum_version = 1;
    std::uint64_t features = 0; // offered
    std::vector<std::uint16_t> queue_sizes;
    std::optional<BlkDescription> blk;
    std::optional<NetDescription> net;
    bool operator==(const DeviceDescription&) const = default;

    std::string subject() const; // "virtio-net 'net0'"
};

// A section of the state stream that is not a device's.
struct SectionDescription {
    std::string name;
    std::uint32_t version = 1;
    std::uint32_t minimum_version = 1;
    bool operator==(const SectionDescription&) const = default;
};

struct MachineDescription {
    std::string board;
    std::uint64_t memory = 0;        // bytes of guest RAM
    std::uint64_t low_memory = 0;    // where RAM below 4 GiB ends
    std::uint64_t memory_in_use = 0; // bytes of guest RAM that take up memory of the host
    std::uint32_t cpus = 1;
    std::uint32_t tsc_khz = 0;
    cpu::CpuModel cpu; // what the guest was given; a destination's is not looked at
    std::vector<SectionDescription> sections;
    std::vector<DeviceDescription> devices;
    bool operator==(const MachineDescription&) const = default;
};

inline constexpr std::uint32_t kMaxSections = 256;
inline constexpr std::uint32_t kMaxDevices = 256;
inline constexpr std::uint32_t kMaxQueues = 1024;
inline constexpr std::size_t kMaxNameLength = 255;

std::vector<std::byte> encode(const MachineDescription& machine);
// All of `body`. Every count is bounded before anything is allocated; texts become printable.
Result<MachineDescription> decode_description(std::span<const std::byte> body);

} // namespace godwit::migration
