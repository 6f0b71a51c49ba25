// SPDX-License-Identifier: Apache-2.0
// The disk program's single requests: how each is made, and what must hold when it is done.
#include "programs/disk.h"

namespace guest {

using namespace virtio::blk;

bool Disk::submit(u16 n, Operation operation, u64 block) {
    Slot& slot = slots_[n];
    virtio::BlkRequest request{.type = VIRTIO_BLK_T_FLUSH,
                               .sector = block == no_block ? 0 : block * sectors_per_block};
    switch (operation) {
    case Operation::Read:
        request = {VIRTIO_BLK_T_IN, request.sector, slot.data, block_size, true};
        break;
    case Operation::Write:
        slot.sequence = static_cast<u32>(++sequence_);
        write_block(slot.data, block, slot.sequence, generation_);
        request = {VIRTIO_BLK_T_OUT, request.sector, slot.data, block_size, false};
        break;
    case Operation::Discard:
    case Operation::WriteZeroes: {
        Range range = device_.range(request.sector, sectors_per_block);
        memcpy(slot.data, &range, sizeof range);
        request = {operation == Operation::Discard ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES, 0,
                   slot.data, sizeof range, false};
        break;
    }
    case Operation::GetId:
        memset(slot.data, 0, sizeof id_);
        request = {VIRTIO_BLK_T_GET_ID, 0, slot.data, sizeof id_, true};
        break;
    default:
        break;
    }
    if (!device_.submit(n, request))
        return false;
    slot.operation = operation;
    slot.block = block;
    ++in_flight_;
    if (block != no_block)
        blocks_[block].busy = true;
    pacer_.did(block_size);
    return true;
}

void Disk::complete(u16 n, u8 status) {
    Slot& slot = slots_[n];
    Operation operation = slot.operation;
    slot.operation = Operation::None;
    --in_flight_;
    Block* block = slot.block == no_block ? nullptr : &blocks_[slot.block];
    if (block != nullptr)
        block->busy = false;
    if (status != VIRTIO_BLK_S_OK) {
        fail("io_error", slot, static_cast<u64>(operation) << 8 | status);
        return;
    }
    switch (operation) {
    case Operation::Read:
        ++reads_;
        check_read(slot);
        break;
    case Operation::Write:
        ++writes_;
        block->content = Block::Content::Written;
        block->sequence = slot.sequence;
        break;
    case Operation::WriteZeroes:
        ++zeroes_;
        block->content = Block::Content::Zero;
        break;
    case Operation::Discard:
        ++discards_;
        *block = {0, 0, Block::Content::Unknown, false};
        break;
    case Operation::Flush:
        ++flushes_;
        break;
    case Operation::GetId:
        ++ids_;
        check_id(slot.data);
        break;
    default:
        break;
    }
}

void Disk::check_read(const Slot& slot) {
    Block& block = blocks_[slot.block];
    BlockHead head;
    BlockVerdict verdict = judge_block(slot.data, slot.block, head);
    switch (block.content) {
    case Block::Content::Written:
        if (verdict != BlockVerdict::Valid)
            fail("damaged_block", slot, static_cast<u64>(verdict));
        else if (head.sequence != block.sequence || head.generation != generation_)
            fail("stale_block", slot, head.sequence);
        break;
    case Block::Content::Zero:
        if (verdict != BlockVerdict::Zero)
            fail("block_not_zero", slot, static_cast<u64>(verdict));
        break;
    case Block::Content::Unknown: {
        u32 digest = static_cast<u32>(fletcher64(slot.data) >> 32) | 1;
        if (verdict == BlockVerdict::Damaged)
            fail("damaged_block", slot, head.sequence);
        else if (block.digest != 0 && block.digest != digest)
            fail("block_changed", slot, block.digest);
        block.digest = digest;
        break;
    }
    }
}

void Disk::check_id(const u8* id) {
    if (id_known_ && memcmp(id, id_, sizeof id_) != 0)
        fail("id_changed", {});
    memcpy(id_, id, sizeof id_);
    id_known_ = true;
}

} // namespace guest
