// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/text.h"

#include <fmt/format.h>

#include <iterator>

namespace godwit {

std::string join(std::span<const std::string> texts, std::string_view separator) {
    return fmt::format("{}", fmt::join(texts, separator));
}

std::string join(std::span<const std::string_view> texts, std::string_view separator) {
    return fmt::format("{}", fmt::join(texts, separator));
}

std::string without_controls(std::string_view text) {
    std::string clean{text};
    for (char& c : clean)
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            c = '?';
    return clean;
}

void append_formatted(std::string& out, fmt::string_view format, fmt::format_args args) {
    fmt::vformat_to(std::back_inserter(out), format, args);
}

} // namespace godwit
