// SPDX-License-Identifier: Apache-2.0
//
// Opens the console that a specification asks for.
#pragma once

#include "devices/console/console.h"
#include "devices/console/console_spec.h"
#include "vmm/loop/loop.h"

#include <memory>

namespace godwit {

// Loop thread, or before run(); the console must go on the loop's thread or after run(), before the loop.
// Ignores SIGPIPE in this process: a pipe without a reader must not end a guest.
Result<std::unique_ptr<Console>> make_console(Loop& loop, const ConsoleSpec& spec);

} // namespace godwit
