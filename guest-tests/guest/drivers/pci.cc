// SPDX-License-Identifier: Apache-2.0
#include "drivers/pci.h"

#include "machine/acpi.h"

namespace guest::pci {
namespace {

constexpr u64 window_begin = 0xc0000000, window_end = 0xe0000000;
constinit u64 window_next = window_begin;

constexpr u32 command = 0x04, status = 0x06, first_bar = 0x10, capabilities = 0x34;
constexpr u16 memory_enable = 2, bus_master = 4, intx_disable = 0x400;
constexpr u16 status_has_capabilities = 0x10;

u64 config_address(u32 slot) {
    return platform.ecam + (u64{slot} << 15);
}

u64 place(u64 size) {
    u64 address = align_up(window_next, size);
    if (size > window_end - window_begin || address > window_end - size)
        return 0;
    window_next = address + size;
    return address;
}

} // namespace

bool present(u32 slot) {
    return read_register<u16>(config_address(slot)) != 0xffff;
}

Function::Function(u32 slot) : slot_(slot), config_(config_address(slot)) {}

u8 Function::find_capability(u8 id, u8 after) const {
    if ((read<u16>(status) & status_has_capabilities) == 0)
        return 0;
    u8 at = read<u8>(after == 0 ? capabilities : after + 1u);
    for (int i = 0; i < 48 && at >= 0x40; ++i) {
        at &= 0xfc;
        if (read<u8>(at) == id)
            return at;
        at = read<u8>(at + 1u);
    }
    return 0;
}

// PCI 3.0, section 6.2.5.1: write ones, read the size back.
void Function::place_bar(u32 index) {
    constexpr u32 is_io = 1, is_64bit = 4, flags = 0xf;
    u32 offset = first_bar + 4 * index;
    u32 low = read<u32>(offset);
    if ((low & is_io) != 0)
        return;
    bool wide = (low & is_64bit) != 0;
    write<u32>(offset, 0xffffffff);
    u64 mask = read<u32>(offset) & ~flags;
    if (mask == 0 && !wide)
        return;
    if (wide) {
        write<u32>(offset + 4, 0xffffffff);
        mask |= u64{read<u32>(offset + 4)} << 32;
    } else {
        mask |= u64{0xffffffff} << 32;
    }
    if (mask == 0)
        return;
    u64 size = ~mask + 1;
    u64 address = place(size);
    write<u32>(offset, static_cast<u32>(address));
    if (wide)
        write<u32>(offset + 4, static_cast<u32>(address >> 32));
    if (address != 0)
        bars_[index] = {address, size};
}

void Function::place_bars() {
    write<u16>(command, intx_disable);
    for (u32 index = 0; index < bars_.size(); ++index) {
        bool wide = (read<u32>(first_bar + 4 * index) & 7) == 4;
        place_bar(index);
        if (wide)
            ++index;
    }
}

void Function::enable(bool intx) {
    write<u16>(command, static_cast<u16>(memory_enable | bus_master | (intx ? 0 : intx_disable)));
}

} // namespace guest::pci
