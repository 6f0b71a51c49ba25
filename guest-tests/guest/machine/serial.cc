// SPDX-License-Identifier: Apache-2.0
#include "machine/serial.h"

#include "machine/io.h"

namespace guest::serial {
namespace {

constexpr u16 base = 0x3f8;
constexpr u16 thr = base, rbr = base, fcr = base + 2, lsr = base + 5;
constexpr u8 fifo_enable = 1;
constexpr u8 data_ready = 1, thr_empty = 0x20;
constexpr int fifo_size = 16;
constexpr int patience = 20000; // reads of LSR, then the byte goes out regardless

constinit bool first_byte_is_out = true; // entry.S has sent the first byte of the first line
constinit int room = 0;                  // bytes that fit before LSR must be read again
constinit bool line_empty = true;

} // namespace

void init() {
    out8(fcr, fifo_enable);
}

void put(char c) {
    line_empty = c == '\n';
    if (first_byte_is_out) {
        first_byte_is_out = false;
        return;
    }
    if (room == 0) {
        for (int i = 0; i < patience && (in8(lsr) & thr_empty) == 0; ++i) {
        }
        room = fifo_size;
    }
    --room;
    out8(thr, static_cast<u8>(c));
}

void put(std::string_view text) {
    for (char c : text)
        put(c);
}

void start_line() {
    if (!line_empty)
        put('\n');
}

int poll() {
    if ((in8(lsr) & data_ready) == 0)
        return -1;
    return in8(rbr);
}

} // namespace guest::serial
