// SPDX-License-Identifier: Apache-2.0
#include "machine/acpi.h"

#include "machine/ram.h"

#include <algorithm>
#include <string_view>

namespace guest {

constinit Platform platform;

namespace {

constexpr u32 header_size = 36;
constexpr u32 largest_table = 1 << 20;

template <class T>
T load(u64 address) {
    T value;
    memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
    return value;
}

bool sums_to_zero(u64 address, u32 length) {
    u8 sum = 0;
    for (u32 i = 0; i < length; ++i)
        sum = static_cast<u8>(sum + load<u8>(address + i));
    return sum == 0;
}

constexpr u32 signature(const char (&text)[5]) {
    u32 value = 0;
    for (int i = 3; i >= 0; --i)
        value = value << 8 | static_cast<u8>(text[i]);
    return value;
}

struct Table {
    u64 address = 0;
    u32 length = 0;

    template <class T>
    T at(u32 offset) const {
        return offset + sizeof(T) <= length ? load<T>(address + offset) : T{};
    }
};

// An empty table when it is out of reach or damaged.
Table open_table(u64 address) {
    Table table{address, header_size};
    if (address == 0 || address + header_size > Ram::mapped)
        return {};
    u32 length = table.at<u32>(4);
    if (length < header_size || length > largest_table || address + length > Ram::mapped ||
        !sums_to_zero(address, length)) {
        ++platform.bad_tables;
        return {};
    }
    table.length = length;
    return table;
}

void add_cpu(u32 apic_id, u32 flags) {
    constexpr u32 enabled = 1;
    if ((flags & enabled) != 0 && platform.cpu_count < MAX_CPUS)
        platform.apic_ids[platform.cpu_count++] = apic_id;
}

void read_madt(const Table& madt) {
    constexpr u8 local_apic = 0;
    for (u32 at = 44; at + 2 <= madt.length;) {
        u8 type = madt.at<u8>(at), length = madt.at<u8>(at + 1);
        if (length < 2)
            break;
        if (type == local_apic)
            add_cpu(madt.at<u8>(at + 3), madt.at<u32>(at + 4));
        at += length;
    }
}

void read_fadt(const Table& fadt) {
    constexpr u32 reset_register = 116, reset_value = 128, sleep_control = 244, address_in_gas = 4;
    if (u64 address = fadt.at<u64>(reset_register + address_in_gas); address != 0) {
        platform.reset_register = address;
        platform.reset_value = fadt.at<u8>(reset_value);
    }
    if (u64 address = fadt.at<u64>(sleep_control + address_in_gas); address != 0)
        platform.sleep_control = address;
}

// Memory32Fixed, then two extended interrupts, in the AML behind the name.
void read_channel_window(const Table& ssdt) {
    constexpr std::string_view name = "GWCC0001";
    constexpr u32 memory_descriptor = 0x000986, interrupt_descriptor = 0x000689;
    u32 at = header_size;
    auto find = [&](auto&& here) {
        while (at < ssdt.length && !here())
            ++at;
        return at < ssdt.length;
    };
    auto descriptor = [&](u32 head) { return [&, head] { return (ssdt.at<u32>(at) & 0xffffff) == head; }; };
    if (!find([&] {
            return at + name.size() <= ssdt.length &&
                   memcmp(reinterpret_cast<const void*>(ssdt.address + at), name.data(), name.size()) == 0;
        }))
        return;
    ChannelWindow found;
    if (!find(descriptor(memory_descriptor)))
        return;
    found.address = ssdt.at<u32>(at + 4);
    if (!find(descriptor(interrupt_descriptor)))
        return;
    found.status_gsi = ssdt.at<u32>(at + 5);
    ++at;
    if (!find(descriptor(interrupt_descriptor)))
        return;
    found.adapter_gsi = ssdt.at<u32>(at + 5);
    platform.channels = found;
}

} // namespace

void read_acpi(u64 rsdp_address) {
    constexpr u32 rsdp_size = 36, xsdt_pointer = 24;
    if (rsdp_address == 0 || rsdp_address + rsdp_size > Ram::mapped)
        return;
    if (memcmp(reinterpret_cast<const void*>(rsdp_address), "RSD PTR ", 8) != 0 ||
        !sums_to_zero(rsdp_address, rsdp_size)) {
        ++platform.bad_tables;
        return;
    }
    Table xsdt = open_table(load<u64>(rsdp_address + xsdt_pointer));
    for (u32 at = header_size; at + 8 <= xsdt.length; at += 8) {
        Table table = open_table(xsdt.at<u64>(at));
        switch (table.at<u32>(0)) {
        case signature("APIC"):
            read_madt(table);
            break;
        case signature("FACP"):
            read_fadt(table);
            break;
        case signature("MCFG"):
            platform.ecam = table.at<u64>(44);
            break;
        case signature("SSDT"):
            read_channel_window(table);
            break;
        default:
            break;
        }
    }
}

} // namespace guest
