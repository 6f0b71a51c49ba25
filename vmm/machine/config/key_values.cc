// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/config/key_values.h"

#include "vmm/base/text.h"

#include <algorithm>
#include <charconv>

namespace godwit {

namespace {

// Splits at single commas; a doubled one stands for itself.
std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != ',')
            parts.back() += text[i];
        else if (i + 1 < text.size() && text[i + 1] == ',')
            parts.back() += text[i++];
        else
            parts.emplace_back();
    }
    return parts;
}

} // namespace

Result<KeyValues> KeyValues::parse(std::string_view option, std::string_view text,
                                   std::span<const std::string_view> known_keys) {
    KeyValues parsed;
    parsed.option_ = option;
    for (const std::string& part : split(text)) {
        const std::size_t equals = part.find('=');
        Entry entry{part.substr(0, equals), equals == std::string::npos ? "" : part.substr(equals + 1),
                    equals == std::string::npos};
        if (std::find(known_keys.begin(), known_keys.end(), entry.key) == known_keys.end())
            return invalid_input("{}: unknown key '{}' in '{}' (known: {})", option, entry.key, text,
                                 join(known_keys, ", "));
        if (parsed.find(entry.key) != nullptr)
            return invalid_input("{}: key '{}' is given twice in '{}'", option, entry.key, text);
        parsed.entries_.push_back(std::move(entry));
    }
    return parsed;
}

const std::string* KeyValues::find(std::string_view key) const {
    for (const Entry& entry : entries_) {
        if (entry.key == key)
            return &entry.value;
    }
    return nullptr;
}

Result<std::string> KeyValues::required(std::string_view key) const {
    const std::string* const value = find(key);
    if (value == nullptr || value->empty())
        return invalid_input("{}: {}= is missing", option_, key);
    return *value;
}

std::string KeyValues::text(std::string_view key, std::string fallback) const {
    const std::string* const value = find(key);
    return value == nullptr ? std::move(fallback) : *value;
}

Result<bool> KeyValues::flag(std::string_view key, bool fallback) const {
    for (const Entry& entry : entries_) {
        if (entry.key != key)
            continue;
        if (entry.bare || entry.value == "on" || entry.value == "true" || entry.value == "yes")
            return true;
        if (entry.value == "off" || entry.value == "false" || entry.value == "no")
            return false;
        return invalid_input("{}: {}={} is neither on nor off", option_, key, entry.value);
    }
    return fallback;
}

Result<std::uint64_t> KeyValues::number(std::string_view key, std::uint64_t fallback, std::uint64_t least,
                                        std::uint64_t most) const {
    const std::string* const value = find(key);
    if (value == nullptr)
        return fallback;
    return parse_number(fmt::format("{}: {}", option_, key), *value, least, most);
}

Result<std::uint64_t> parse_number(std::string_view what, std::string_view text, std::uint64_t least,
                                   std::uint64_t most) {
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault != std::errc{} || end != text.data() + text.size() || text.empty())
        return invalid_input("{}: '{}' is not a number", what, text);
    if (number < least || number > most)
        return invalid_input("{}: {} is not between {} and {}", what, number, least, most);
    return number;
}

Result<std::uint64_t> parse_size(std::string_view what, std::string_view text) {
    unsigned shift = 0;
    std::string_view digits = text;
    if (!digits.empty()) {
        switch (digits.back()) {
        case 'k':
        case 'K':
            shift = 10;
            break;
        case 'm':
        case 'M':
            shift = 20;
            break;
        case 'g':
        case 'G':
            shift = 30;
            break;
        default:
            break;
        }
        if (shift != 0)
            digits.remove_suffix(1);
    }
    std::uint64_t number = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (fault != std::errc{} || end != digits.data() + digits.size() || digits.empty())
        return invalid_input("{}: '{}' is not a size (a number, optionally with K, M or G)", what, text);
    if (number > (std::uint64_t{1} << 50 >> shift))
        return invalid_input("{}: {} is too large", what, text);
    return number << shift;
}

} // namespace godwit
