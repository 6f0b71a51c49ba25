// SPDX-License-Identifier: Apache-2.0
//
// A machine and its host as preflight compares them. Nothing is changed, and the guest may run meanwhile.
// Threads: any but the loop's and the vCPUs'.
#pragma once

#include "migration/preflight/description.h"
#include "migration/preflight/host_state.h"

namespace godwit {

class Machine;

migration::MachineDescription describe_machine(Machine& machine);
// What this host can give to `guest`.
migration::HostState describe_host(Machine& machine, const migration::MachineDescription& guest);

} // namespace godwit
