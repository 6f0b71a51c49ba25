// SPDX-License-Identifier: Apache-2.0
#include "devices/console/console_spec.h"

namespace godwit {

Result<ConsoleSpec> parse_console_spec(std::string_view text) {
    using Kind = ConsoleSpec::Kind;
    if (text == "stdio")
        return ConsoleSpec{Kind::Stdio, {}, false};
    if (text == "null")
        return ConsoleSpec{Kind::Null, {}, false};
    if (text == "pty")
        return ConsoleSpec{Kind::Pty, {}, false};
    ConsoleSpec spec;
    if (constexpr std::string_view kFile = "file="; text.starts_with(kFile)) {
        constexpr std::string_view kTruncate = ",truncate";
        spec.kind = Kind::File;
        spec.truncate = text.ends_with(kTruncate);
        text.remove_prefix(kFile.size());
        text.remove_suffix(spec.truncate ? std::min(kTruncate.size(), text.size()) : 0);
    } else if (constexpr std::string_view kSocket = "socket="; text.starts_with(kSocket)) {
        spec.kind = Kind::Socket;
        text.remove_prefix(kSocket.size());
    } else {
        return invalid_input("console '{}': expected stdio, null, pty, file=PATH[,truncate] or socket=PATH",
                             text);
    }
    if (text.empty())
        return invalid_input("console: the path is empty");
    spec.path = text;
    return spec;
}

} // namespace godwit
