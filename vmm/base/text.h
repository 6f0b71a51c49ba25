// SPDX-License-Identifier: Apache-2.0
//
// Putting texts together. The code for it is in one place, whatever is formatted. Pure functions.
#pragma once

#include <fmt/core.h>

#include <span>
#include <string>
#include <string_view>

namespace godwit {

// "a, b, c"
std::string join(std::span<const std::string> texts, std::string_view separator);
std::string join(std::span<const std::string_view> texts, std::string_view separator);

// For a log or a terminal: control characters, other than a line's end and a tabulator, become '?'. A text
// may quote what a guest, a peer or a file has said.
std::string without_controls(std::string_view text);

void append_formatted(std::string& out, fmt::string_view format, fmt::format_args args);

template <class... Args>
void append(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
    append_formatted(out, format, fmt::make_format_args(args...));
}

} // namespace godwit
