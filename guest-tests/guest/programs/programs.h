// SPDX-License-Identifier: Apache-2.0
#pragma once
// The table of programs, in the order in which they start and report.
#include "programs/disk.h"
#include "programs/heartbeat.h"
#include "programs/mem.h"
#include "programs/net.h"

#include <array>

namespace guest {

inline constinit Mem mem;
inline constinit Disk disk;
inline constinit Net net;
inline constinit Heartbeat heartbeat;
inline constexpr std::array<Program*, 4> programs{&disk, &net, &mem, &heartbeat};

} // namespace guest
