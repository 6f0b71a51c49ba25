// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/entry.h"

#include "vmm/machine/boot/layout.h"

#include <array>
#include <span>

namespace godwit::boot {

namespace {

// Linux prescribes 0x10 and 0x18 (__BOOT_CS, __BOOT_DS); PVH leaves the selectors open.
constexpr std::uint16_t kCodeSelector = 0x10;
constexpr std::uint16_t kDataSelector = 0x18;
constexpr std::uint16_t kTaskSelector = 0x20;
constexpr std::uint32_t kTaskLimit = 0x67;
constexpr std::uint32_t kFlatLimit = 0xffff'ffff;
constexpr std::uint8_t kCodeType = 0xb; // execute, read, accessed
constexpr std::uint8_t kDataType = 0x3; // read, write, accessed
constexpr std::uint8_t kTaskType = 0xb; // busy task state segment

constexpr std::uint64_t kProtection = 1 << 0;        // CR0.PE
constexpr std::uint64_t kExtensionType = 1 << 4;     // CR0.ET
constexpr std::uint64_t kPaging = 1u << 31;          // CR0.PG
constexpr std::uint64_t kPhysicalExtension = 1 << 5; // CR4.PAE
constexpr std::uint64_t kLongModeEnable = 1 << 8;    // EFER.LME
constexpr std::uint64_t kLongModeActive = 1 << 10;   // EFER.LMA

constexpr std::uint64_t descriptor(const BootSegment& segment) {
    constexpr std::uint64_t kPresent = std::uint64_t{1} << 47;
    const std::uint64_t limit = segment.granularity ? segment.limit >> 12 : segment.limit;
    return (limit & 0xffff) | (segment.base & 0xff'ffff) << 16 | std::uint64_t{segment.type} << 40 |
           std::uint64_t{segment.code_or_data} << 44 | kPresent | (limit >> 16 & 0xf) << 48 |
           std::uint64_t{segment.long_mode} << 53 | std::uint64_t{segment.big} << 54 |
           std::uint64_t{segment.granularity} << 55 | (segment.base >> 24 & 0xff) << 56;
}

// Pages of 2 MiB: not every host gives its guests pages of 1 GiB.
Status write_page_tables(GuestMemory& memory) {
    constexpr std::uint64_t kPresentWritable = 3;
    constexpr std::uint64_t kLargePage = 1 << 7;
    constexpr std::uint64_t kLargePageSize = 2 << 20;
    constexpr std::size_t kEntries = 512;
    constexpr std::size_t kDirectories = 4;

    std::array<std::uint64_t, kEntries*(2 + kDirectories)> tables{};
    const std::uint64_t directory_pointers = kPageTables.value + kPageSize;
    const std::uint64_t directories = directory_pointers + kPageSize;
    tables[0] = directory_pointers | kPresentWritable;
    for (std::size_t i = 0; i < kDirectories; ++i)
        tables[kEntries + i] = (directories + i * kPageSize) | kPresentWritable;
    for (std::size_t i = 0; i < kDirectories * kEntries; ++i)
        tables[2 * kEntries + i] = i * kLargePageSize | kPresentWritable | kLargePage;
    return memory.write(kPageTables, std::as_bytes(std::span{tables}));
}

} // namespace

Result<EntryState> make_entry(EntryKind kind, std::uint64_t rip, GuestMemory& memory) {
    const bool long_mode = kind == EntryKind::Linux64;
    EntryState state{};
    state.kind = kind;
    state.rip = rip;
    state.cr0 = kProtection | kExtensionType;
    state.code = {kCodeSelector, 0, kFlatLimit, kCodeType, true, !long_mode, long_mode, true};
    state.data = {kDataSelector, 0, kFlatLimit, kDataType, true, true, false, true};
    state.task = {kTaskSelector, kTaskSegment.value, kTaskLimit, kTaskType, false, false, false, false};
    if (long_mode) {
        state.rsi = kZeroPage.value;
        state.cr0 |= kPaging;
        state.cr3 = kPageTables.value;
        state.cr4 = kPhysicalExtension;
        state.efer = kLongModeEnable | kLongModeActive;
        TRY(write_page_tables(memory));
    } else {
        state.rbx = kStartInfo.value;
    }

    // The task state segment takes two slots in long mode; its upper half is zero.
    const std::array<std::uint64_t, 6> table{
        0, 0, descriptor(state.code), descriptor(state.data), descriptor(state.task), 0};
    TRY(memory.write(kGdt, std::as_bytes(std::span{table})));
    state.gdt_base = kGdt;
    state.gdt_limit = sizeof table - 1;
    return state;
}

} // namespace godwit::boot
