// SPDX-License-Identifier: Apache-2.0
//
// Unix stream sockets by path: the control socket's two ends, and streams that are saved to and restored from
// one. Any thread.
#pragma once

#include "vmm/base/fd.h"

#include <string>

namespace godwit {

// Non-blocking listener with access for the owner only. A socket that nobody serves any more is replaced; one
// that somebody serves is an error.
Result<Fd> listen_unix(const std::string& path);
// Blocking connection.
Result<Fd> connect_unix(const std::string& path);

} // namespace godwit
