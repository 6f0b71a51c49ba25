// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/layout.h"

#include "guest-tests/guest/programs/block_content.h"
#include "migration/protocol/crc32c.h"

#include <algorithm>
#include <array>

namespace godwit::plain {

namespace {

constexpr std::array<std::string_view, 4> kPrograms{"mem", "disk", "heartbeat", "reset"};
constexpr std::size_t kLongestLine = 2000; // what guest::Options keeps, and a rest

Result<BootImage> boot_image_of(const Blob& blob) {
    const Mapping bytes = TRY(blob.map());
    return BootImage{blob.size(), migration::crc32c(bytes.bytes())};
}

Status check_programs(const guest::Options& options) {
    std::string_view rest = options.text("prog", "");
    if (rest.empty())
        return invalid_input("the command line names no program (prog=mem,disk,heartbeat)");
    while (!rest.empty()) {
        const std::string_view item = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), item.size() + 1));
        if (std::ranges::find(kPrograms, item) == kPrograms.end())
            return invalid_input("prog={}: a plain machine has the programs mem, disk, heartbeat and reset",
                                 item);
    }
    return {};
}

} // namespace

Layout Layout::of(const guest::Options& options, std::uint64_t ram_bytes, std::uint64_t disk_bytes) {
    Layout layout;
    layout.mem = options.has_item("prog", "mem");
    layout.disk = options.has_item("prog", "disk") && disk_bytes >= guest::block_size;
    layout.heartbeat = options.has_item("prog", "heartbeat");
    const std::uint64_t ram = ram_bytes / kPageSize;
    std::uint64_t next = kDiskTable.value / kPageSize;
    if (layout.disk) {
        const std::uint64_t wanted = options.bytes("disk.span", 16 * guest::MiB) / guest::block_size;
        const std::uint64_t blocks = std::min(wanted, disk_bytes / guest::block_size);
        const std::uint64_t table = align_up(blocks * kDiskEntryBytes, kPageSize) / kPageSize;
        layout.disk_fits = blocks != 0 && next < ram && table < ram - next;
        if (layout.disk_fits) {
            layout.disk_blocks = blocks;
            next += table;
        }
    }
    if (layout.mem) {
        const std::uint64_t still = options.bytes("mem.static", 0) / kPageSize;
        const std::uint64_t rewritten = options.bytes("mem.size", 64 * guest::MiB) / kPageSize;
        const std::uint64_t left = next < ram ? ram - next : 0;
        layout.mem_fits = still <= left && rewritten <= left - still;
        if (layout.mem_fits) { // at the end, which is above 4 GiB on a large machine
            layout.static_pages = {ram - rewritten - still, still};
            layout.pages = {ram - rewritten, rewritten};
        }
    }
    return layout;
}

Gpa address_of(const GuestMemory& memory, RamOffset offset) {
    const auto regions = memory.regions();
    const auto holds = [&](const RamRegion& region) {
        return offset.value - region.offset.value < region.size;
    };
    const auto region = std::ranges::find_if(regions, holds);
    return Gpa{region->base.value + (offset.value - region->offset.value)};
}

Status store_command_line(GuestMemory& memory, std::string_view line) {
    if (line.size() > kLongestLine)
        return invalid_input("a command line of {} bytes is too long", line.size());
    if (memory.size() < Layout::kDiskTable.value + kPageSize)
        return invalid_input("{} bytes of RAM are too few", memory.size());
    std::array<char, Layout::kCommandLineBytes> page{};
    std::ranges::copy(line, page.begin());
    TRY(memory.write(address_of(memory, Layout::kCommandLine), std::as_bytes(std::span{page})));
    TRY_IN(check_programs(load_command_line(memory)), "command line");
    return {};
}

Status store_boot_images(GuestMemory& memory, const migration::BootSource& source) {
    BootImages images;
    images.kernel = TRY(boot_image_of(source.kernel));
    if (source.initrd)
        images.initrd = TRY(boot_image_of(*source.initrd));
    return memory.write(address_of(memory, Layout::kBootImages), images);
}

BootImages load_boot_images(const GuestMemory& memory) {
    const auto images = memory.read<BootImages>(address_of(memory, Layout::kBootImages));
    return images.ok() ? images.value() : BootImages{};
}

guest::Options load_command_line(const GuestMemory& memory) {
    std::array<char, Layout::kCommandLineBytes> page{};
    guest::Options options;
    if (memory.read(address_of(memory, Layout::kCommandLine), std::as_writable_bytes(std::span{page})).ok()) {
        page.back() = '\0'; // a peer may have sent anything
        options.set(page.data());
    }
    return options;
}

} // namespace godwit::plain
