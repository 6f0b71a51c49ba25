// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/ram_reader.h"

#include "migration/printable.h"
#include "vmm/base/log.h"

#include <algorithm>

namespace godwit::migration::wire {

Status RamReader::start(Input& in) {
    const auto word = TRY(in.be<std::uint64_t>());
    if ((word & ram_flag::kMask) != ram_flag::kMemSize)
        return corrupt("the RAM section starts with {:#x}, not with a block list", word);
    TRY(block_list(in, word & ~ram_flag::kMask));
    const auto end = TRY(in.be<std::uint64_t>());
    if (end != ram_flag::kEos)
        return corrupt("{:#x} where the RAM block list should end", end);
    return {};
}

Status RamReader::block_list(Input& in, std::uint64_t total) {
    bool ours = false;
    for (std::uint64_t left = total; left != 0;) {
        if (blocks_.size() == kMaxRamBlocks)
            return corrupt("more than {} RAM blocks", kMaxRamBlocks);
        std::string name = TRY(in.counted_name());
        const auto size = TRY(in.be<std::uint64_t>());
        if (size == 0 || size % kPageSize != 0 || size > left)
            return corrupt("RAM block '{}' of {} bytes does not fit a total of {}", printable(name), size,
                           total);
        if (std::ranges::find(blocks_, name, &Block::name) != blocks_.end())
            return corrupt("RAM block '{}' is listed twice", printable(name));
        if (name != kRamBlock) {
            log::info("RAM block '{}' of {} bytes is not on this board; it is dropped", printable(name),
                      size);
        } else {
            ours = true;
            if (size != target_.size())
                return error(ErrorCode::Incompatible, "RAM of {} bytes in the stream, {} here", size,
                             target_.size());
        }
        blocks_.push_back({std::move(name), size});
        left -= size;
    }
    if (!ours)
        return error(ErrorCode::Incompatible, "the stream has no RAM block '{}'", kRamBlock);
    return {};
}

Status RamReader::pages(Input& in) {
    for (;;) {
        const auto word = TRY(in.be<std::uint64_t>());
        if (word == ram_flag::kEos)
            return end_part();
        TRY(page_record(in, word));
    }
}

Status RamReader::end_part() {
    const bool boot = boot_mark_.inside();
    boot_mark_.end_part();
    return boot ? boot_.end() : Status{};
}

Status RamReader::zero_record(Input& in, RamOffset offset, bool ours) {
    const auto fill = TRY(in.be<std::uint8_t>());
    if (fill == 0)
        boot_mark_.saw_zeros(ours && offset == RamOffset{0});
    else
        boot_mark_.saw_other();
    if (ours)
        target_.fill(offset, std::byte{fill});
    return {};
}

// The header, and all that follows it in its part.
Status RamReader::boot_page(Input& in, RamOffset offset) {
    std::array<std::byte, kPageSize> page;
    const std::uint64_t begin = in.offset();
    TRY(in.read(page));
    if (boot_mark_.inside()) {
        boot_place_.end = in.offset();
        return boot_.page(page);
    }
    if (const auto header = boot_mark_.header(page)) {
        boot_place_ = {begin, in.offset()};
        return boot_.begin(*header);
    }
    std::ranges::copy(page, target_.page(offset).begin());
    return {};
}

Status RamReader::page_record(Input& in, std::uint64_t word) {
    const std::uint64_t kind = word & ram_flag::kMask & ~ram_flag::kContinue;
    const RamOffset offset{word & ~ram_flag::kMask};
    if (kind != ram_flag::kZero && kind != ram_flag::kPage)
        return corrupt("RAM record {:#x} is of no kind that is known here", word);
    if ((word & ram_flag::kContinue) == 0) {
        const std::string name = TRY(in.counted_name());
        const auto found = std::ranges::find(blocks_, name, &Block::name);
        if (found == blocks_.end())
            return corrupt("page of RAM block '{}', which was not announced", printable(name));
        current_ = static_cast<std::size_t>(found - blocks_.begin());
    } else if (current_ == kNoBlock) {
        return corrupt("the first RAM page names no block");
    }
    const Block& block = blocks_[current_];
    if (offset.value >= block.size)
        return corrupt("page {} is outside of RAM block '{}' of {} bytes", offset, printable(block.name),
                       block.size);

    const bool ours = block.name == kRamBlock;
    if (boot_mark_.inside() && (!ours || kind != ram_flag::kPage || offset != RamOffset{0}))
        return corrupt("RAM record {:#x} among the pages of what the guest is booted with", word);
    if (boot_mark_.inside() ||
        (boot_mark_.found() && ours && kind == ram_flag::kPage && offset == RamOffset{0}))
        return boot_page(in, offset);
    if (ours) {
        if (marks_.empty() || in.offset() / kSumBlock != marks_.back().offset / kSumBlock)
            marks_.push_back({in.offset(), offset, marks_.empty() ? offset : last_page_});
        last_page_ = offset;
    }
    if (kind == ram_flag::kZero)
        return zero_record(in, offset, ours);
    boot_mark_.saw_other();
    return ours ? in.read(target_.page(offset)) : in.skip(kPageSize);
}

} // namespace godwit::migration::wire
