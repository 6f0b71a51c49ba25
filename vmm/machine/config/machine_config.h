// SPDX-License-Identifier: Apache-2.0
//
// What a machine is made of, as the operator gave it. A receiver has its own: nothing in it comes from a
// migration stream.
#pragma once

#include "devices/virtio/blk_policy.h"
#include "vmm/base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit {

enum class TransportKind { Pci, Ccw };

// What kvm-clock does for the time in which a guest stands still: paused, saved, between two hosts.
enum class GuestClock {
    Host, // is put forward by it, so that the guest's time is the host's
    Vm,   // stands still too
};

// [,transport=pci][,addr=SLOT] or ,transport=ccw[,devno=0.0.NNNN]: where a device is plugged in.
struct PlaceConfig {
    TransportKind transport = TransportKind::Pci;
    std::optional<std::uint8_t> slot;   // PCI device number; the first free one when not given
    std::optional<std::uint16_t> devno; // channel I/O; complete() gives the first free one from 1
};

// --disk path=FILE[,readonly=on|off][,werror=POLICY][,rerror=POLICY][,FEATURE=on|off][,id=NAME] and
// PlaceConfig
struct DiskConfig {
    std::string path;
    bool readonly = false;
    std::string id;
    PlaceConfig place;
    // What becomes of requests that the host's disk refuses.
    virtio::ErrorPolicy write_errors = virtio::kDefaultWriteErrors;
    virtio::ErrorPolicy read_errors = virtio::kDefaultReadErrors;
    std::uint64_t features_off = 0; // of devices/virtio/feature_properties.h
};

// --net tap=IFNAME[,mac=ADDRESS][,mtu=BYTES][,FEATURE=on|off][,id=NAME] and PlaceConfig
struct NetConfig {
    std::string tap;
    std::optional<std::array<std::uint8_t, 6>>
        mac; // when not given: of host, machine and tap, or the guest's that comes
    std::optional<std::uint16_t> mtu;
    std::string id;
    PlaceConfig place;
    std::uint64_t features_off = 0; // as of a disk
};

// --rng source=getrandom|DEVICE[,id=NAME] and PlaceConfig
struct RngConfig {
    std::string source; // a character device, or "getrandom": the host kernel's generator
    std::string id;
    PlaceConfig place;
};

inline constexpr std::uint64_t kMinMemory = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 40;

struct MachineConfig {
    std::string name = "godwit";
    std::uint64_t memory = std::uint64_t{256} << 20; // bytes
    std::uint32_t cpus = 1;
    std::string cpu = "host"; // "host", "baseline", or a file with a model
    GuestClock clock = GuestClock::Host;
    bool emulation_assist = false; // complete what KVM cannot emulate
    std::string kernel;            // may be empty when a guest comes
    std::string initrd;
    std::string command_line;
    std::string serial = "stdio";
    std::vector<DiskConfig> disks;
    std::vector<NetConfig> nets;
    std::vector<RngConfig> rngs;
};

Result<DiskConfig> parse_disk(std::string_view text);
Result<NetConfig> parse_net(std::string_view text);
Result<RngConfig> parse_rng(std::string_view text);
// Fills in what was not given, ids ("disk0", "net0", "rng0") and device numbers, and checks what concerns
// several parts: ranges, ids used twice, slots and device numbers used twice.
Status complete(MachineConfig& config);

// Whether any device is on channel I/O. Precondition: completed.
bool has_channel_io(const MachineConfig& config);

} // namespace godwit
