// SPDX-License-Identifier: Apache-2.0
//
// How a stream waits for its descriptor, where it must not wait in the system call itself. A value.
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <functional>

namespace godwit::migration::wire {

// Called before each system call that could wait, with poll(2)'s events; an error ends the reading or
// writing.
using WaitFor = std::function<Status(const Fd& fd, short events)>;

} // namespace godwit::migration::wire
