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

constexpr u64 flush_period = 128, extra_period = 32, id_period = 1024; // in operations

} // namespace

bool Disk::start() {
    if (!device_.attach(interrupt_mode()) || !device_.begin()) {
        Failure("disk", "no_usable_device");
        return false;
    }
    writes_allowed_ = !device_.has(VIRTIO_BLK_F_RO) && options.text("disk.mode", "write") != "read";
    extra_ = options.flag("disk.extra", true);
    depth_ = static_cast<u32>(std::clamp<u64>(options.number("disk.depth", 8), 1, slots_.size()));
    generation_ = options.number("disk.generation", 1);
    span_ =
        std::min(options.bytes("disk.span", 16 * MiB) / block_size, device_.capacity() / sectors_per_block);
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
        .add("slot", device_.where())
        .add("capacity", device_.capacity() * virtio::VirtioBlk::sector_size)
        .add("span", span_ * block_size)
        .add("depth", depth_)
        .add("mode", writes_allowed_ ? "write" : "read")
        .add_hex("features", device_.features());
    return true;
}

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
        if (device_.needs_reset() && !broken_reported_) {
            broken_reported_ = true;
            fail("device_needs_reset", {});
        }
    }
    if (over_ || broken_reported_) {
        over_ = true;
        return now + second;
    }
    if (reinit_.due(now) && !finishing_) { // drain first
        if (in_flight_ > 0)
            return now + millisecond;
        reinit_.did(now);
        if (!device_.begin()) {
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
    return device_.polled() && in_flight_ > 0 ? now + 200 * microsecond : next;
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
    while (blocks_[block].busy) // fewer are busy than there are blocks
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

} // namespace guest
