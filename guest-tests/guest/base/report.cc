// SPDX-License-Identifier: Apache-2.0
#include "base/report.h"

#include "machine/serial.h"

namespace guest {
namespace {

void put_number(u64 value, unsigned base, int digits = 1) {
    char text[24];
    int at = sizeof text;
    for (; value != 0 || digits > 0; value /= base, --digits)
        text[--at] = "0123456789abcdef"[value % base];
    serial::put({text + at, sizeof text - static_cast<std::size_t>(at)});
}

void put_key(std::string_view key) {
    serial::put(' ');
    serial::put(key);
    serial::put('=');
}

} // namespace

Report::Report(std::string_view topic) {
    serial::start_line();
    serial::put("GT ");
    serial::put(topic);
}

Report::~Report() {
    serial::put('\n');
}

Report& Report::add(std::string_view key, u64 value) {
    put_key(key);
    put_number(value, 10);
    return *this;
}

Report& Report::add_hex(std::string_view key, u64 value) {
    put_key(key);
    serial::put("0x");
    put_number(value, 16);
    return *this;
}

Report& Report::add(std::string_view key, std::string_view value) {
    put_key(key);
    serial::put(value);
    return *this;
}

Report& Report::add_quoted(std::string_view key, std::string_view value) {
    put_key(key);
    serial::put('"');
    serial::put(value);
    serial::put('"');
    return *this;
}

Report& Report::add_ipv4(std::string_view key, u32 address) {
    put_key(key);
    for (int shift = 24; shift >= 0; shift -= 8) {
        put_number(address >> shift & 0xff, 10);
        if (shift > 0)
            serial::put('.');
    }
    return *this;
}

Report& Report::add_mac(std::string_view key, const u8* address) {
    put_key(key);
    for (int i = 0; i < 6; ++i) {
        if (i > 0)
            serial::put(':');
        put_number(address[i], 16, 2);
    }
    return *this;
}

} // namespace guest
