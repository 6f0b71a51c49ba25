// SPDX-License-Identifier: Apache-2.0
#include "base/options.h"

namespace guest {

constinit Options options;

namespace {

// Cuts the part before the first separator off `rest`.
std::string_view cut(std::string_view& rest, char separator) {
    std::size_t length = 0;
    while (length < rest.size() && rest[length] != separator)
        ++length;
    std::string_view part{rest.data(), length};
    rest.remove_prefix(length < rest.size() ? length + 1 : length);
    return part;
}

bool digit(char c) {
    return c >= '0' && c <= '9';
}

u64 parse_decimal(std::string_view& text) {
    u64 value = 0;
    while (!text.empty() && digit(text.front())) {
        value = value * 10 + static_cast<u64>(text.front() - '0');
        text.remove_prefix(1);
    }
    return value;
}

u64 unit(std::string_view suffix) {
    if (suffix.empty())
        return 1;
    switch (suffix.front()) {
    case 'K':
        return KiB;
    case 'M':
        return MiB;
    case 'G':
        return GiB;
    default:
        return 1;
    }
}

} // namespace

void Options::set(const char* line) {
    size_ = 0;
    while (line[size_] != 0 && size_ < sizeof line_) {
        char c = line[size_];
        line_[size_++] = c >= ' ' && c <= '~' && c != '"' ? c : ' ';
    }
}

std::string_view Options::text(std::string_view key, std::string_view otherwise) const {
    std::string_view rest = line(), found = otherwise;
    while (!rest.empty()) {
        std::string_view word = cut(rest, ' ');
        if (word.size() > key.size() && word.starts_with(key) && word[key.size()] == '=') {
            word.remove_prefix(key.size() + 1);
            found = word;
        }
    }
    return found;
}

u64 Options::number(std::string_view key, u64 otherwise) const {
    std::string_view value = text(key, {});
    if (value.empty() || !digit(value.front()))
        return otherwise;
    u64 count = parse_decimal(value);
    return count * unit(value);
}

u32 Options::ipv4(std::string_view key, u32 otherwise) const {
    std::string_view value = text(key, {});
    if (value.empty())
        return otherwise;
    u32 address = 0;
    for (int i = 0; i < 4; ++i) {
        std::string_view part = cut(value, '.');
        address = address << 8 | static_cast<u32>(parse_decimal(part) & 0xff);
    }
    return address;
}

bool Options::has_item(std::string_view key, std::string_view item) const {
    std::string_view list = text(key, {});
    while (!list.empty())
        if (cut(list, ',') == item)
            return true;
    return false;
}

} // namespace guest
