// SPDX-License-Identifier: Apache-2.0
//
// The console on standard input and output. A terminal is put into raw mode (except that ^C still signals
// us, and output is still processed) as long as the console lives, and back at exit(3) at the latest.
//
// Neither file's status flags change where that can be avoided: O_NONBLOCK would also hit whoever shares the
// open file, the user's shell for example.
#pragma once

#include "devices/console/console.h"
#include "vmm/base/fd.h"
#include "vmm/loop/loop.h"

#include <memory>

namespace godwit {

Result<std::unique_ptr<Console>> make_stdio_console(Loop& loop);

// The same on other descriptors, which stay the caller's.
Result<std::unique_ptr<Console>> make_stdio_console(Loop& loop, int input, int output);

} // namespace godwit
