// SPDX-License-Identifier: Apache-2.0
//
// A console as the user asks for it, for example on the command line.
#pragma once

#include "vmm/base/result.h"

#include <string>
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
Result<ConsoleSpec> parse_console_spec(std::string_view text);

} // namespace godwit
