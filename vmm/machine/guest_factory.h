// SPDX-License-Identifier: Apache-2.0
//
// How a process gets its guest: a program says which kind of it.
#pragma once

#include "vmm/base/result.h"

#include <functional>
#include <memory>

namespace godwit {

class Guest;
class Loop;
class MachineEvents;
struct MachineConfig;

// Opens everything that the configuration names, and runs nothing. `loop` runs already; it and `events`
// outlive the guest.
using GuestFactory =
    std::function<Result<std::unique_ptr<Guest>>(const MachineConfig&, Loop& loop, MachineEvents& events)>;

} // namespace godwit
