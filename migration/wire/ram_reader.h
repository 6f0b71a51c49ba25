// SPDX-License-Identifier: Apache-2.0
//
// The RAM section of a stream, version 4, read straight into guest memory. Blocks that this machine does not
// have (ROMs, ACPI tables of a QEMU) are read and dropped. Reference: migration/ram.c of QEMU 7.2 (ram_load).
// One thread.
#pragma once

#include "migration/wire/boot_pages.h"
#include "migration/wire/format.h"
#include "migration/wire/input.h"
#include "migration/wire/stream_sums.h"
#include "vmm/base/address.h"

#include <string>
#include <vector>

namespace godwit::migration::wire {

// Where pages go. Offsets are page-aligned and inside size().
class RamTarget {
  public:
    virtual ~RamTarget() = default;
    virtual std::uint64_t size() const = 0;
    virtual std::span<std::byte> page(RamOffset offset) = 0;
    virtual void fill(RamOffset offset, std::byte value) = 0;
};

class RamReader {
  public:
    explicit RamReader(RamTarget& target) : target_(target), boot_(target.size()) {}

    // The first page record in each block of kSumBlock bytes of the stream.
    struct Mark {
        std::uint64_t offset; // in the stream
        RamOffset page;
        RamOffset before; // page of the record before it, which may reach into the block
    };
    const std::vector<Mark>& marks() const { return marks_; }
    RamOffset last_page() const { return last_page_; }

    // What the guest is booted with, if that came; once, when RAM is complete. Where it lay in the stream.
    Result<BootSourcePtr> take_boot() { return boot_.take(); }
    const ByteRange& boot_place() const { return boot_place_; }

    // Bodies of START, and of PART or END; the input stands behind the section's header.
    Status start(Input& in);
    Status pages(Input& in);

  private:
    struct Block {
        std::string name;
        std::uint64_t size;
    };

    Status block_list(Input& in, std::uint64_t total);
    Status page_record(Input& in, std::uint64_t word);
    Status zero_record(Input& in, RamOffset offset, bool ours);
    Status boot_page(Input& in, RamOffset offset);
    Status end_part();

    RamTarget& target_;
    BootMark boot_mark_;
    BootPages boot_;
    ByteRange boot_place_{};
    std::vector<Mark> marks_;
    RamOffset last_page_{};
    std::vector<Block> blocks_;
    // The block of the last page record: CONTINUE refers to it, also across sections.
    std::size_t current_ = kNoBlock;
    static constexpr std::size_t kNoBlock = ~std::size_t{0};
};

} // namespace godwit::migration::wire
