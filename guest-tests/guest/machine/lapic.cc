// SPDX-License-Identifier: Apache-2.0
#include "machine/lapic.h"

#include "boot/layout.h"
#include "machine/io.h"

namespace guest::lapic {
namespace {

constexpr u64 base = 0xfee00000;
enum Register : u64 {
    Id = 0x20,
    SpuriousVector = 0xf0,
    CommandLow = 0x300,
    CommandHigh = 0x310,
    LvtTimer = 0x320,
    TimerInitialCount = 0x380,
    TimerCurrentCount = 0x390,
    TimerDivide = 0x3e0,
};
constexpr u32 divide_by_1 = 0xb;
constexpr u32 mode_init = 5 << 8, mode_startup = 6 << 8, level_assert = 1 << 14;
constexpr u32 delivery_pending = 1 << 12;

u32 read(Register r) {
    return read_register<u32>(base + r);
}
void write(Register r, u32 value) {
    write_register<u32>(base + r, value);
}

void send(u32 apic_id, u32 command) {
    write(CommandHigh, apic_id << 24);
    write(CommandLow, command);
    for (int i = 0; i < 1000 && (read(CommandLow) & delivery_pending) != 0; ++i) {
    }
}

} // namespace

void init() {
    write(SpuriousVector, 0x100 | VECTOR_SPURIOUS);
    write(TimerDivide, divide_by_1);
    write(LvtTimer, VECTOR_TIMER);
}

u32 id() {
    return read(Id) >> 24;
}
void start_timer(u32 count) {
    write(TimerInitialCount, count);
}
u32 timer_count() {
    return read(TimerCurrentCount);
}
void send_init(u32 apic_id) {
    send(apic_id, mode_init | level_assert);
}
void send_startup(u32 apic_id, u64 page_address) {
    send(apic_id, mode_startup | level_assert | static_cast<u32>(page_address >> 12));
}
void send_vector(u32 apic_id, u8 vector) {
    send(apic_id, level_assert | vector);
}

} // namespace guest::lapic
