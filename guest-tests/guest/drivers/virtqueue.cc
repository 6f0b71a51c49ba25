// SPDX-License-Identifier: Apache-2.0
#include "drivers/virtqueue.h"

#include "machine/io.h"
#include "machine/ram.h"

#include <algorithm>

namespace guest::virtio {
namespace {

constexpr u16 flags_word = 0, index_word = 1, ring_word = 2;
constexpr u16 no_token = 0xffff;

u16 low(u32 value) {
    return static_cast<u16>(value);
}

} // namespace

bool Virtqueue::allocate() {
    if (allocated_ != 0)
        return size_ <= allocated_;
    u64 before_used = align_up(18 * size_ + 6, page_size) + page_size; // more than either layout takes
    memory_ = static_cast<u8*>(ram.allocate(before_used + 8 * size_ + 6, page_size));
    indirect_ = static_cast<Descriptor*>(ram.allocate(sizeof(Descriptor) * size_ * max_segments, 64));
    tokens_ = static_cast<u16*>(ram.allocate(2 * size_, 64));
    allocated_ = size_;
    return memory_ != nullptr && indirect_ != nullptr && tokens_ != nullptr;
}

// The virtio 1 areas are apart and aligned to no more than need be (2.7), so that the device gets all three
// addresses to use.
void Virtqueue::lay_out(bool legacy) {
    u64 table_bytes = sizeof(Descriptor) * size_, available_bytes = 6 + 2 * size_;
    u8* available = memory_ + table_bytes + (legacy ? 0 : 16);
    u64 used_offset = static_cast<u64>(available - memory_) + available_bytes;
    table_ = reinterpret_cast<Descriptor*>(memory_);
    available_ = reinterpret_cast<volatile u16*>(available);
    used_ = reinterpret_cast<volatile u16*>(
        memory_ + (legacy ? align_up(used_offset, page_size) : align_up(used_offset, 4) + 64));
    memset(available, 0, available_bytes);
    memset(const_cast<u16*>(used_), 0, 6 + 8 * size_);
}

bool Virtqueue::prepare(const Setup& setup) {
    size_ = std::min(setup.size, max_size);
    if (size_ == 0 || (size_ & (size_ - 1)) != 0 || !allocate())
        return false;
    order_ = setup.order;
    lay_out(setup.legacy_layout);
    for (u32 i = 0; i < size_; ++i) {
        table_[i] = {0, 0, 0, order_(low(i + 1))};
        tokens_[i] = no_token;
    }
    use_event_idx_ = (setup.features & VIRTIO_F_EVENT_IDX) != 0;
    use_indirect_ = (setup.features & VIRTIO_F_INDIRECT_DESC) != 0;
    want_interrupts_ = setup.want_interrupts;
    wait_to_be_told_ = setup.wait_to_be_told;
    told_ = true; // until it is armed
    broken_ = false;
    free_head_ = 0;
    free_count_ = low(size_);
    next_available_ = kicked_ = next_used_ = 0;
    in_flight_ = 0;
    if (!want_interrupts_) {
        available_word(flags_word) = order_(VIRTQ_AVAIL_F_NO_INTERRUPT);
        used_event() = order_(u16{0x8000}); // moved along in pop(), so that it is never reached
    }
    return true;
}

void Virtqueue::connect(Doorbell& doorbell, u16 index) {
    doorbell_ = &doorbell;
    index_ = index;
}

u16 Virtqueue::take_descriptor() {
    u16 taken = free_head_;
    free_head_ = order_(table_[taken].next);
    --free_count_;
    return taken;
}

void Virtqueue::fill(Descriptor& to, const Segment& from) const {
    to.addr = order_(reinterpret_cast<u64>(from.address));
    to.len = order_(from.length);
    to.flags = order_(from.device_writes ? VIRTQ_DESC_F_WRITE : u16{0});
}

void Virtqueue::chain(Descriptor& from, u16 to) const {
    from.flags |= order_(VIRTQ_DESC_F_NEXT);
    from.next = order_(to);
}

bool Virtqueue::add(std::span<const Segment> segments, u16 token) {
    bool indirect = use_indirect_ && segments.size() > 1;
    if (segments.empty() || segments.size() > max_segments || free_count_ < (indirect ? 1 : segments.size()))
        return false;
    u16 head = take_descriptor();
    if (indirect) {
        Descriptor* list = indirect_ + u32{head} * max_segments;
        for (u32 i = 0; i < segments.size(); ++i) {
            fill(list[i], segments[i]);
            if (i + 1 < segments.size())
                chain(list[i], low(i + 1));
        }
        Descriptor& d = table_[head];
        d.addr = order_(reinterpret_cast<u64>(list));
        d.len = order_(static_cast<u32>(segments.size() * sizeof(Descriptor)));
        d.flags = order_(VIRTQ_DESC_F_INDIRECT);
    } else {
        u16 at = head;
        for (u32 i = 0; i < segments.size(); ++i) {
            fill(table_[at], segments[i]);
            if (i + 1 < segments.size()) {
                u16 next = take_descriptor();
                chain(table_[at], next);
                at = next;
            }
        }
    }
    tokens_[head] = token;
    ++in_flight_;
    available_word(ring_word + next_available_ % size_) = order_(head);
    ++next_available_;
    compiler_barrier(); // x86 keeps stores in order
    available_word(index_word) = order_(next_available_);
    return true;
}

// 2.7.13.4.1, and 2.7.10 for the event index.
void Virtqueue::kick() {
    if (next_available_ == kicked_)
        return;
    full_barrier();
    bool needed;
    if (use_event_idx_) {
        u16 event = order_(static_cast<u16>(available_event()));
        needed = low(next_available_ - event - 1u) < low(next_available_ - kicked_);
    } else {
        needed = (used_[flags_word] & order_(VIRTQ_USED_F_NO_NOTIFY)) == 0;
    }
    kicked_ = next_available_;
    if (needed)
        doorbell_->ring(index_);
}

bool Virtqueue::pop(Used& used) {
    if (broken_ || (wait_to_be_told_ && !told_) || empty())
        return false;
    compiler_barrier();
    volatile UsedElement& element = used_element(next_used_);
    u32 id = order_(static_cast<u32>(element.id));
    used.length = order_(static_cast<u32>(element.len));
    if (id >= size_ || tokens_[id] == no_token) {
        broken_ = true;
        return false;
    }
    used.token = tokens_[id];
    tokens_[id] = no_token;
    u16 last = low(id);
    u16 count = 1;
    while ((table_[last].flags & order_(VIRTQ_DESC_F_NEXT)) != 0) {
        last = order_(table_[last].next);
        ++count;
    }
    table_[last].next = order_(free_head_);
    free_head_ = low(id);
    free_count_ = low(free_count_ + count);
    --in_flight_;
    ++next_used_;
    if (!want_interrupts_)
        used_event() = order_(low(next_used_ + 0x8000u));
    return true;
}

bool Virtqueue::arm_interrupt() {
    if (wait_to_be_told_ && !told_)
        return false; // armed already
    if (want_interrupts_) {
        used_event() = order_(next_used_);
        full_barrier();
    }
    bool more = !empty() && !broken_;
    told_ = more;
    return more;
}

} // namespace guest::virtio
