// SPDX-License-Identifier: Apache-2.0
#pragma once
// The table of programs, in the order in which they start and report.
#include "programs/channel.h"
#include "programs/cpu_identity.h"
#include "programs/disk.h"
#include "programs/heartbeat.h"
#include "programs/mem.h"
#include "programs/net.h"
#include "programs/rng.h"

#include <array>

namespace guest {

inline constinit Mem mem;
inline constinit Disk disk;
inline constinit Net net;
inline constinit Rng rng;
inline constinit Channel channel;
inline constinit CpuIdentity cpu_identity;
inline constinit Heartbeat heartbeat;
inline constexpr std::array<Program*, 7> programs{&disk, &net,          &rng,      &channel,
                                                  &mem,  &cpu_identity, &heartbeat};

} // namespace guest
