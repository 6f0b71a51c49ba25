// SPDX-License-Identifier: Apache-2.0
//
// Asks a waiting destination whether the guest could move there. The guest is not touched, and the
// destination goes on waiting. Thread: one of the caller's.
#pragma once

#include "migration/channel/channel.h"
#include "migration/machine_port.h"
#include "migration/preflight/difference.h"
#include "migration/report.h"

namespace godwit::migration {

// Everything that would refuse the guest; empty when it fits. An error is a destination that did not answer.
Result<Differences> check(MachinePort& port, Channel& channel, std::chrono::milliseconds timeout,
                          const Cancel* cancel);

} // namespace godwit::migration
