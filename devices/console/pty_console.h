// SPDX-License-Identifier: Apache-2.0
//
// The console on a new pseudo terminal; describe() is "pty PATH".
#pragma once

#include "devices/console/console.h"
#include "vmm/loop/loop.h"

#include <memory>

namespace godwit {

Result<std::unique_ptr<Console>> make_pty_console(Loop& loop);

} // namespace godwit
