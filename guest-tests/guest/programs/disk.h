// SPDX-License-Identifier: Apache-2.0
#pragma once
// The disk program: numbered, checksummed blocks at random places, several requests in flight, each read back
// and compared with a table of what was written last.  The block format is in programs/block_content.h.
//   disk.span=16M disk.depth=8 disk.rate=BYTES_PER_SECOND (0: no limit) disk.mode=write|read disk.extra=0|1
//   disk.generation=N   reinit=N: that many resets of the device during the run
// Missing: more than one disk, requests of more than one block.
#include "base/pacer.h"
#include "base/random.h"
#include "drivers/virtio_blk.h"
#include "programs/block_content.h"
#include "programs/program.h"
#include "programs/reinit.h"

#include <array>

namespace guest {

class Disk final : public Program {
  public:
    constexpr Disk() = default;
    std::string_view name() const override { return "disk"; }
    bool start() override;
    u64 step(u64 now) override;
    void print_status() const override;
    void begin_finish() override { finishing_ = true; }
    bool finished() const override { return over_; }

  private:
    enum class Operation : u8 { None, Read, Write, Flush, GetId, Discard, WriteZeroes };
    static constexpr u64 no_block = ~u64{0}; // of an operation on the whole disk
    static constexpr u64 sectors_per_block = block_size / virtio::VirtioBlk::sector_size;
    struct Slot {
        Operation operation = Operation::None;
        u64 block = 0;
        u32 sequence = 0;
        u8* data = nullptr;
    };
    struct Block { // what we know about a block of the disk
        enum class Content : u8 { Unknown, Written, Zero };
        u32 sequence;
        u32 digest; // of a block that we have only read (mode read)
        Content content;
        bool busy;
    };

    bool submit_next(u16 slot);
    Operation choose();
    u64 free_block();
    bool submit(u16 slot, Operation operation, u64 block);
    void complete(u16 slot, u8 status);
    void check_read(const Slot& slot);
    void check_id(const u8* id);
    void fail(std::string_view what, const Slot& slot, u64 detail = 0);

    virtio::VirtioBlk device_;
    Reinit reinit_;
    Pacer pacer_;
    Random random_{0x6469736b};
    std::array<Slot, virtio::VirtioBlk::max_requests> slots_{};
    Block* blocks_ = nullptr;
    u64 span_ = 0; // blocks
    u32 depth_ = 0, in_flight_ = 0;
    u64 generation_ = 0, sequence_ = 0, verify_next_ = 0;
    bool writes_allowed_ = false, extra_ = false, finishing_ = false, over_ = false, id_known_ = false;
    bool broken_reported_ = false;
    u8 id_[20] = {};
    u64 operations_ = 0, writes_ = 0, reads_ = 0, flushes_ = 0, discards_ = 0, zeroes_ = 0, ids_ = 0,
        errors_ = 0;
    u64 resizes_ = 0;
};

} // namespace guest
