// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/ram_scan.h"

#include "migration/printable.h"
#include "migration/protocol/crc32c.h"
#include "migration/wire/format.h"
#include "vmm/base/address.h"

#include <algorithm>

namespace godwit::migration::inspect {

namespace {

namespace ram_flag = wire::ram_flag;
constexpr std::uint64_t kDelta = 0x040;      // XBZRLE
constexpr std::uint64_t kCompressed = 0x100; // zlib
constexpr std::uint32_t kMaxCompressed = 2 * kPageSize;

} // namespace

Status RamScan::start(wire::Input& in) {
    const auto word = TRY(in.be<std::uint64_t>());
    if ((word & ram_flag::kMask) != ram_flag::kMemSize)
        return corrupt("the RAM section starts with {:#x}, not with a block list", word);
    const std::uint64_t total = word & ~ram_flag::kMask;
    for (std::uint64_t left = total; left != 0;) {
        if (ram_.blocks.size() == wire::kMaxRamBlocks)
            return corrupt("more than {} RAM blocks", wire::kMaxRamBlocks);
        RamBlock block;
        block.name = printable(TRY(in.counted_name()));
        block.size = TRY(in.be<std::uint64_t>());
        if (block.size == 0 || block.size > left)
            return corrupt("RAM block '{}' of {} bytes does not fit a total of {}", block.name, block.size,
                           total);
        if (physical_bases_)
            TRY(in.skip(sizeof(std::uint64_t)));
        left -= block.size;
        ram_.blocks.push_back(std::move(block));
    }
    if (const auto end = TRY(in.be<std::uint64_t>()); end != ram_flag::kEos)
        return corrupt("{:#x} where the RAM block list should end", end);
    return {};
}

Status RamScan::pages(wire::Input& in) {
    for (;;) {
        const auto word = TRY(in.be<std::uint64_t>());
        if (word == ram_flag::kEos) {
            boot_mark_.end_part();
            return {};
        }
        TRY(page_record(in, word));
    }
}

Status RamScan::page_record(wire::Input& in, std::uint64_t word) {
    const std::uint64_t at = in.offset() - sizeof word;
    const std::uint64_t kind = word & ram_flag::kMask & ~ram_flag::kContinue;
    const std::uint64_t address = word & ~ram_flag::kMask;
    if (kind != ram_flag::kZero && kind != ram_flag::kPage && kind != kDelta && kind != kCompressed)
        return corrupt("RAM record {:#x} is of no kind that is known here", word);
    if ((word & ram_flag::kContinue) == 0) {
        const std::string name = printable(TRY(in.counted_name()));
        const auto found = std::ranges::find(ram_.blocks, name, &RamBlock::name);
        if (found == ram_.blocks.end())
            return corrupt("page of RAM block '{}', which was not announced", name);
        current_ = static_cast<std::uint32_t>(found - ram_.blocks.begin());
    } else if (!current_.has_value()) {
        return corrupt("the first RAM page names no block");
    }
    RamBlock& block = ram_.blocks[*current_];
    if (address >= block.size)
        return corrupt("page {:#x} is outside of RAM block '{}' of {} bytes", address, block.name,
                       block.size);
    const bool first_page = block.name == wire::kRamBlock && address == 0;
    if (kind != ram_flag::kZero && !(boot_mark_.found() || boot_mark_.inside()))
        boot_mark_.saw_other();
    switch (kind) {
    case ram_flag::kZero: {
        const auto fill = TRY(in.be<std::uint8_t>());
        boot_mark_.saw_zeros(first_page && fill == 0);
        ++block.zero_pages;
        note(address / kPageSize, at, fill == 0, fill);
        return {};
    }
    case ram_flag::kPage:
        return data_page(in, block, address, at);
    case kDelta: {
        ++block.packed_pages;
        TRY(in.skip(1));
        return in.skip(TRY(in.be<std::uint16_t>()));
    }
    default: {
        ++block.packed_pages;
        const auto length = TRY(in.be<std::uint32_t>());
        if (length > kMaxCompressed)
            return corrupt("a compressed page of {} bytes", length);
        return in.skip(length);
    }
    }
}

Status RamScan::data_page(wire::Input& in, RamBlock& block, std::uint64_t address, std::uint64_t at) {
    if (boot_mark_.inside())
        return in.skip(kPageSize);
    const bool perhaps_boot = boot_mark_.found();
    if (!keep_pages_ && !perhaps_boot) {
        ++block.data_pages;
        return in.skip(kPageSize);
    }
    page_.resize(kPageSize);
    TRY(in.read(page_));
    if (perhaps_boot)
        ram_.boot = boot_mark_.header(page_);
    if (ram_.boot && boot_mark_.inside()) {
        block.zero_pages = 0; // those of the mark
        ram_.pages.clear();
        return {};
    }
    ++block.data_pages;
    note(address / kPageSize, at, false, crc32c(page_));
    return {};
}

void RamScan::note(std::uint64_t page, std::uint64_t offset, bool zero, std::uint32_t key) {
    if (!keep_pages_)
        return;
    if (!ram_.pages.empty()) {
        PageRun& last = ram_.pages.back();
        if (last.block == *current_ && last.zero == zero && last.key == key &&
            last.first + last.count == page) {
            ++last.count;
            return;
        }
    }
    ram_.pages.push_back({*current_, page, 1, offset, key, zero});
}

} // namespace godwit::migration::inspect
