// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/handover.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/boot/bzimage.h"
#include "vmm/machine/boot/layout.h"
#include "vmm/machine/boot/memory_map.h"
#include "vmm/machine/boot/setup_header.h"

#include <algorithm>
#include <cassert>

namespace godwit::boot {

namespace {

// Offsets in struct boot_params, Documentation/arch/x86/zero-page.rst and boot.rst.
constexpr std::size_t kAcpiRsdpAddress = 0x070;
constexpr std::size_t kExtRamdiskImage = 0x0c0;
constexpr std::size_t kExtRamdiskSize = 0x0c4;
constexpr std::size_t kExtCommandLine = 0x0c8;
constexpr std::size_t kE820Entries = 0x1e8;
constexpr std::size_t kTypeOfLoader = 0x210;
constexpr std::size_t kRamdiskImage = 0x218;
constexpr std::size_t kRamdiskSize = 0x21c;
constexpr std::size_t kCommandLinePointer = 0x228;
constexpr std::size_t kE820Table = 0x2d0;
constexpr std::size_t kE820EntrySize = 20;

constexpr std::uint8_t kLoaderWithoutId = 0xff;
constexpr std::uint8_t kCanUseHeap = 1 << 7;

constexpr std::uint32_t kStartInfoMagic = 0x336ec578;
constexpr std::uint64_t kModuleListAt = 64;
constexpr std::uint64_t kMemoryMapAt = 96;
constexpr std::size_t kMapEntrySize = 24;
static_assert(kMemoryMapAt + kMaxMemoryMap * kMapEntrySize <= kPageSize);
static_assert(kE820Table + kMaxMemoryMap * kE820EntrySize <= kPageSize);

constexpr std::uint32_t low_half(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
constexpr std::uint32_t high_half(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32);
}

} // namespace

std::vector<std::byte> make_zero_page(const Handover& handover, std::span<const std::byte> setup_header) {
    assert(handover.memory_map.size() <= kMaxMemoryMap);
    std::vector<std::byte> bytes(kPageSize);
    const std::span<std::byte> page{bytes};

    std::ranges::copy(setup_header, page.subspan(kSetupHeaderAt).begin());
    if (setup_header.empty()) {
        store_le(page.subspan(kBootFlag), std::uint16_t{0xaa55});
        store_le(page.subspan(kMagic), std::uint32_t{0x53726448}); // "HdrS"
        store_le(page.subspan(kVersion), std::uint16_t{0x020c});
    }
    page[kTypeOfLoader] = std::byte{kLoaderWithoutId};
    page[kLoadFlags] = (page[kLoadFlags] | std::byte{kLoadedHigh}) & ~std::byte{kCanUseHeap};

    store_le(page.subspan(kCommandLinePointer), low_half(handover.command_line.value));
    store_le(page.subspan(kExtCommandLine), high_half(handover.command_line.value));
    const PlacedInitrd initrd = handover.initrd.value_or(PlacedInitrd{});
    store_le(page.subspan(kRamdiskImage), low_half(initrd.base.value));
    store_le(page.subspan(kExtRamdiskImage), high_half(initrd.base.value));
    store_le(page.subspan(kRamdiskSize), low_half(initrd.size));
    store_le(page.subspan(kExtRamdiskSize), high_half(initrd.size));
    store_le(page.subspan(kAcpiRsdpAddress), handover.rsdp.value);

    page[kE820Entries] = static_cast<std::byte>(handover.memory_map.size());
    std::size_t at = kE820Table;
    for (const E820Entry& entry : handover.memory_map) {
        store_le(page.subspan(at), entry.base.value);
        store_le(page.subspan(at + 8), entry.size);
        store_le(page.subspan(at + 16), static_cast<std::uint32_t>(entry.type));
        at += kE820EntrySize;
    }
    return bytes;
}

std::vector<std::byte> make_start_info(const Handover& handover) {
    assert(handover.memory_map.size() <= kMaxMemoryMap);
    ByteWriter info;
    info.le(kStartInfoMagic);
    info.le(std::uint32_t{1}); // version: with a memory map
    info.le(std::uint32_t{0}); // flags
    info.le(std::uint32_t{handover.initrd ? 1u : 0u});
    info.le(handover.initrd ? kStartInfo.value + kModuleListAt : 0);
    info.le(handover.command_line.value);
    info.le(handover.rsdp.value);
    info.le(kStartInfo.value + kMemoryMapAt);
    info.le(static_cast<std::uint32_t>(handover.memory_map.size()));
    info.le(std::uint32_t{0});

    info.zeros(kModuleListAt - info.size());
    const PlacedInitrd initrd = handover.initrd.value_or(PlacedInitrd{});
    info.le(initrd.base.value);
    info.le(initrd.size);
    info.le(std::uint64_t{0}); // the module's own command line
    info.le(std::uint64_t{0});

    for (const E820Entry& entry : handover.memory_map) {
        info.le(entry.base.value);
        info.le(entry.size);
        info.le(static_cast<std::uint32_t>(entry.type));
        info.le(std::uint32_t{0});
    }
    return info.take();
}

} // namespace godwit::boot
