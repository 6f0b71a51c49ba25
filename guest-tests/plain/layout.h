// SPDX-License-Identifier: Apache-2.0
//
// What lies where in a plain machine's RAM. It follows from the command line, which is in RAM itself, and
// from the machine's shape, so that a machine that a guest comes to finds everything again. Pure.
#pragma once

#include "guest-tests/guest/base/options.h"
#include "migration/boot/boot_source.h"
#include "vmm/base/address.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <string_view>

namespace godwit::plain {

// Some pages of RAM, by number.
struct PageRange {
    std::uint64_t first = 0; // page of RAM
    std::uint64_t count = 0;
    // The part of one of `parts` workers.
    PageRange slice(std::uint64_t part, std::uint64_t parts) const {
        const std::uint64_t begin = count * part / parts, end = count * (part + 1) / parts;
        return {first + begin, end - begin};
    }
};

struct Layout {
    static constexpr RamOffset kBootImages{0};
    static constexpr RamOffset kCommandLine{1 * kPageSize};
    static constexpr std::uint64_t kCommandLineBytes = kPageSize;
    static constexpr RamOffset kOutput{2 * kPageSize};
    static constexpr std::uint64_t kOutputBytes = 2 * kPageSize;
    static constexpr RamOffset kDiskBlock{4 * kPageSize}; // what is read and written
    static constexpr RamOffset kDiskTable{5 * kPageSize}; // what each block must hold
    static constexpr std::uint64_t kDiskEntryBytes = 16;

    bool mem = false;  // the mem program is wanted
    bool disk = false; // the disk program is, and there is a disk
    bool heartbeat = false;
    bool mem_fits = true;          // else there is not enough RAM for it
    bool disk_fits = true;         // else the span does not fit
    std::uint64_t disk_blocks = 0; // that are used, from the start
    PageRange static_pages;
    PageRange pages;

    static Layout of(const guest::Options& options, std::uint64_t ram_bytes, std::uint64_t disk_bytes);
};

// The address at which the guest sees a byte of RAM.
Gpa address_of(const GuestMemory& memory, RamOffset offset);

// Puts the command line into RAM, and takes it from there. A line that is too long, or that asks for a
// program that this machine does not have, is InvalidInput.
Status store_command_line(GuestMemory& memory, std::string_view line);
guest::Options load_command_line(const GuestMemory& memory);

// What a kernel or an initrd was that the guest is booted with; an initrd that there is not is empty.
struct BootImage {
    std::uint64_t size = 0;
    std::uint32_t sum = 0; // CRC-32C
};
struct BootImages {
    BootImage kernel;
    BootImage initrd;
};
Status store_boot_images(GuestMemory& memory, const migration::BootSource& source);
BootImages load_boot_images(const GuestMemory& memory);

} // namespace godwit::plain
