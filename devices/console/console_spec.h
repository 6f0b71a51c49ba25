// SPDX-License-Identifier: Apache-2.0
//
// A console as the user asks for it, and the factory.
#pragma once

#include "devices/console/console.h"
#include "vmm/loop/loop.h"

#include <memory>
#include <string_view>

namespace godwit {

struct ConsoleSpec {
    enum class Kind { Stdio, Null, Pty, File, Socket };
    Kind kind = Kind::Stdio;
    std::string path;      // File, Socket
    bool truncate = false; // File: start empty instead of appending
    bool operator==(const ConsoleSpec&) const = default;
};

// "stdio", "null", "pty", "file=PATH", "file=PATH,truncate", "socket=PATH".
Result<ConsoleSpec> parse_console(std::string_view text);

// Loop thread, or before run(); the console must go on the loop's thread or after run(), before the loop.
// Ignores SIGPIPE in this process: a pipe without a reader must not end a guest.
Result<std::unique_ptr<Console>> make_console(Loop& loop, const ConsoleSpec& spec);

} // namespace godwit
