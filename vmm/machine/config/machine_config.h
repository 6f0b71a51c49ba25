// SPDX-License-Identifier: Apache-2.0
//
// What a machine is made of, as the operator gave it. A receiver has its own: nothing in it comes from a
// migration stream.
#pragma once

#include "vmm/base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit {

// --disk path=FILE[,readonly=on|off][,id=NAME][,addr=SLOT]
struct DiskConfig {
    std::string path;
    bool readonly = false;
    std::string id;
    std::optional<std::uint8_t> slot; // PCI device number; the first free one when not given
};

// --net tap=IFNAME[,mac=ADDRESS][,mtu=BYTES][,id=NAME][,addr=SLOT]
struct NetConfig {
    std::string tap;
    std::optional<std::array<std::uint8_t, 6>> mac; // derived from the tap's name when not given
    std::optional<std::uint16_t> mtu;
    std::string id;
    std::optional<std::uint8_t> slot;
};

inline constexpr std::uint64_t kMinMemory = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 40;

struct MachineConfig {
    std::string name = "godwit";
    std::uint64_t memory = std::uint64_t{256} << 20; // bytes
    std::uint32_t cpus = 1;
    bool emulation_assist = false; // complete what KVM cannot emulate
    std::string kernel;            // empty for a receiver
    std::string initrd;
    std::string command_line;
    std::string serial = "stdio";
    std::vector<DiskConfig> disks;
    std::vector<NetConfig> nets;
};

Result<DiskConfig> parse_disk(std::string_view text);
Result<NetConfig> parse_net(std::string_view text);
// Fills in the ids that were not given ("disk0", "net0") and checks what concerns several parts: ranges, ids
// used twice, slots used twice.
Status complete(MachineConfig& config);

} // namespace godwit
