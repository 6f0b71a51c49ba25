// SPDX-License-Identifier: Apache-2.0
#include "programs/disk.h"

#include "base/options.h"
#include "machine/clock.h"
#include "machine/ram.h"
#include "programs/interrupt_mode.h"

#include <algorithm>

namespace guest {

using namespace virtio::blk;

namespace {

constexpr u64 sectors_per_block = block_size / virtio::VirtioBlk::sector_size;
constexpr u64 no_block = ~u64{0};
constexpr u64 flush_period = 128, extra_period = 32, id_period = 1024;  // in operations

}  // namespace

bool Disk::start() {
    if (!device_.attach(interrupt_mode()) || !restart()) {
        Failure("disk", "no_usable_device");
        return false;
    }
    writes_allowed_ = !device_.has(VIRTIO_BLK_F_RO) && options.text("disk.mode", "write") != "read";
    extra_ = options.flag("disk.extra", true);
    depth_ = static_cast<u32>(std::clamp<u64>(options.number("disk.depth", 8), 1, slots_.size()));
    generation_ = options.number("disk.generation", 1);
    span_ = std::min(options.bytes("disk.span", 16 * MiB) / block_size, device_.capacity() / sectors_per_block);
    blocks_ = static_cast<Block*>(ram.allocate(span_ * sizeof(Block), 64));
    auto* data = static_cast<u8*>(ram.allocate(depth_ * block_size, page_size));
    if (span_ < 2 * depth_ || blocks_ == nullptr || data == nullptr) {
        Failure("disk", "span_does_not_fit").add("blocks", span_);
        return false;
    }
    for (u32 i = 0; i < depth_; ++i)
        slots_[i].data = data + i * block_size;
    reinit_.begin();
    pacer_.begin(options.bytes("disk.rate", 0), clock.now());
    Report("disk")
        .add("slot", device_.slot())
        .add("capacity", device_.capacity() * virtio::VirtioBlk::sector_size)
        .add("span", span_ * block_size)
        .add("depth", depth_)
        .add("mode", writes_allowed_ ? "write" : "read")
        .add_hex("features", device_.features());
    return true;
}

bool Disk::restart() { return device_.begin(); }

void Disk::fail(std::string_view what, const Slot& slot, u64 detail) {
    ++errors_;
    Failure("disk", what).add("block", slot.block).add("sequence", slot.sequence).add("detail", detail);
}

u64 Disk::step(u64 now) {
    device_.poll([this](u16 slot, u8 status) { complete(slot, status); });
    if (device_.broken() && !broken_reported_) {
        broken_reported_ = true;
        fail("broken_queue", {});
    }
    if (device_.config_changed()) {
        u64 before = device_.capacity();
        device_.read_capacity();
        resizes_ += device_.capacity() != before;
    }
    if (over_ || broken_reported_) {
        over_ = true;
        return now + second;
    }
    if (reinit_.due(now) && !finishing_) {  // drain first
        if (in_flight_ > 0)
            return now + millisecond;
        reinit_.did(now);
        if (!restart()) {
            fail("reinit", {});
            over_ = true;
            return now + second;
        }
    }
    u64 next = now + second;
    for (u16 slot = 0; slot < depth_; ++slot) {
        if (slots_[slot].operation != Operation::None)
            continue;
        if (!finishing_ && !pacer_.may(now)) {
            next = pacer_.next(now);
            break;
        }
        if (!submit_next(slot))
            break;
    }
    device_.kick();
    over_ = finishing_ && in_flight_ == 0 && verify_next_ == span_;
    return interrupt_mode() == interrupts::Mode::Poll && in_flight_ > 0 ? now + 200 * microsecond : next;
}

Disk::Operation Disk::choose() {
    ++operations_;
    if (!id_known_ || operations_ % id_period == 0)
        return extra_ ? Operation::GetId : Operation::Read;
    if (!writes_allowed_)
        return Operation::Read;
    if (operations_ % flush_period == 0 && device_.has(VIRTIO_BLK_F_FLUSH))
        return Operation::Flush;
    if (extra_ && operations_ % extra_period == 0 && device_.has(VIRTIO_BLK_F_WRITE_ZEROES))
        return Operation::WriteZeroes;
    if (extra_ && operations_ % extra_period == extra_period / 2 && device_.has(VIRTIO_BLK_F_DISCARD))
        return Operation::Discard;
    return random_.below(5) < 3 ? Operation::Write : Operation::Read;
}

u64 Disk::free_block() {
    u64 block = random_.below(span_);
    while (blocks_[block].busy)  // fewer are busy than there are blocks
        block = (block + 1) % span_;
    return block;
}

bool Disk::submit_next(u16 slot) {
    if (!finishing_) {
        Operation operation = choose();
        bool whole_disk = operation == Operation::Flush || operation == Operation::GetId;
        return submit(slot, operation, whole_disk ? no_block : free_block());
    }
    if (verify_next_ == span_ || blocks_[verify_next_].busy)
        return false;
    return submit(slot, Operation::Read, verify_next_++);
}

bool Disk::submit(u16 n, Operation operation, u64 block) {
    Slot& slot = slots_[n];
    virtio::BlkRequest request{.type = VIRTIO_BLK_T_FLUSH, .sector = block == no_block ? 0 : block * sectors_per_block};
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
        Range range{request.sector, sectors_per_block, 0};
        memcpy(slot.data, &range, sizeof range);
        request = {operation == Operation::Discard ? VIRTIO_BLK_T_DISCARD : VIRTIO_BLK_T_WRITE_ZEROES, 0, slot.data,
                   sizeof range, false};
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

void Disk::print_status() const {
    Report("disk")
        .add("writes", writes_)
        .add("reads", reads_)
        .add("flushes", flushes_)
        .add("discards", discards_)
        .add("zeroes", zeroes_)
        .add("ids", ids_)
        .add("reinits", reinit_.done())
        .add("resizes", resizes_)
        .add("verified", verify_next_)
        .add("errors", errors_);
}

}  // namespace guest
