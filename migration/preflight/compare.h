// SPDX-License-Identifier: Apache-2.0
//
// Preflight: everything that could refuse a guest, found before its first page moves, all of it in one list.
// Pure functions.
#pragma once

#include "migration/preflight/description.h"
#include "migration/preflight/difference.h"
#include "migration/preflight/host_state.h"

#include <functional>

namespace godwit::migration {

// "VIRTIO_NET_F_MQ (22)", for a virtio device type and a bit.
using FeatureName = std::function<std::string(std::uint16_t device_id, unsigned bit)>;

// The shapes of the two machines.
Differences compare_machines(const MachineDescription& source, const MachineDescription& destination,
                             const FeatureName& feature_name);
// What the destination's host cannot give to this guest.
Differences compare_host(const MachineDescription& source, const MachineDescription& destination,
                         const HostState& host);

// Of compare_host(): the processor that the guest was given, and what there is here.
void compare_cpu(const cpu::CpuModel& guest, const cpu::CpuModel& host, Differences& found);

// Of compare_machines(): devices, matched by id, then by place.
void compare_devices(const MachineDescription& source, const MachineDescription& destination,
                     const FeatureName& feature_name, Differences& found);

} // namespace godwit::migration
