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

bool Virtqueue::prepare(u32 size, u64 features, bool want_interrupts) {
    size = std::min(size, max_size);
    if (size == 0 || (size & (size - 1)) != 0 || (allocated_ != 0 && size > allocated_))
        return false;
    u64 table_bytes = 16 * size, available_bytes = 6 + 2 * size, used_bytes = 6 + 8 * size;
    u64 indirect_bytes = table_bytes * max_segments;
    if (allocated_ == 0) {
        table_ = static_cast<Descriptor*>(ram.allocate(table_bytes, page_size));
        available_ = static_cast<volatile u16*>(ram.allocate(available_bytes, 64));
        used_ = static_cast<volatile u16*>(ram.allocate(used_bytes, 64));
        indirect_ = static_cast<Descriptor*>(ram.allocate(indirect_bytes, 64));
        tokens_ = static_cast<u16*>(ram.allocate(2 * size, 64));
        if (table_ == nullptr || available_ == nullptr || used_ == nullptr || indirect_ == nullptr ||
            tokens_ == nullptr)
            return false;
        allocated_ = size;
    }
    size_ = size;
    memset(const_cast<u16*>(available_), 0, available_bytes);
    memset(const_cast<u16*>(used_), 0, used_bytes);
    for (u32 i = 0; i < size; ++i) {
        table_[i] = {0, 0, 0, low(i + 1)};
        tokens_[i] = no_token;
    }
    use_event_idx_ = (features & VIRTIO_F_EVENT_IDX) != 0;
    use_indirect_ = (features & VIRTIO_F_INDIRECT_DESC) != 0;
    want_interrupts_ = want_interrupts;
    broken_ = false;
    free_head_ = 0;
    free_count_ = low(size);
    next_available_ = kicked_ = next_used_ = 0;
    in_flight_ = 0;
    if (!want_interrupts) {
        available_word(flags_word) = VIRTQ_AVAIL_F_NO_INTERRUPT;
        used_event() = 0x8000; // moved along in pop(), so that it is never reached
    }
    return true;
}

void Virtqueue::connect(u64 notify_address, u16 index) {
    notify_address_ = notify_address;
    index_ = index;
}

u16 Virtqueue::take_descriptor() {
    u16 taken = free_head_;
    free_head_ = table_[taken].next;
    --free_count_;
    return taken;
}

void Virtqueue::fill(Descriptor& to, const Segment& from) const {
    to.addr = reinterpret_cast<u64>(from.address);
    to.len = from.length;
    to.flags = from.device_writes ? VIRTQ_DESC_F_WRITE : u16{0};
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
            if (i + 1 < segments.size()) {
                list[i].flags |= VIRTQ_DESC_F_NEXT;
                list[i].next = low(i + 1);
            }
        }
        Descriptor& d = table_[head];
        d.addr = reinterpret_cast<u64>(list);
        d.len = static_cast<u32>(segments.size() * sizeof(Descriptor));
        d.flags = VIRTQ_DESC_F_INDIRECT;
    } else {
        u16 at = head;
        for (u32 i = 0; i < segments.size(); ++i) {
            fill(table_[at], segments[i]);
            if (i + 1 < segments.size()) {
                u16 next = take_descriptor();
                table_[at].flags |= VIRTQ_DESC_F_NEXT;
                table_[at].next = next;
                at = next;
            }
        }
    }
    tokens_[head] = token;
    ++in_flight_;
    available_word(ring_word + next_available_ % size_) = head;
    ++next_available_;
    compiler_barrier(); // x86 keeps stores in order
    available_word(index_word) = next_available_;
    return true;
}

// 2.7.13.4.1, and 2.7.10 for the event index.
void Virtqueue::kick() {
    if (next_available_ == kicked_)
        return;
    full_barrier();
    bool needed;
    if (use_event_idx_)
        needed = low(next_available_ - available_event() - 1u) < low(next_available_ - kicked_);
    else
        needed = (used_[flags_word] & VIRTQ_USED_F_NO_NOTIFY) == 0;
    kicked_ = next_available_;
    if (needed)
        write_register<u16>(notify_address_, index_);
}

bool Virtqueue::pop(Used& used) {
    if (broken_ || used_[index_word] == next_used_)
        return false;
    compiler_barrier();
    volatile UsedElement& element = used_element(next_used_);
    u32 id = element.id;
    used.length = element.len;
    if (id >= size_ || tokens_[id] == no_token) {
        broken_ = true;
        return false;
    }
    used.token = tokens_[id];
    tokens_[id] = no_token;
    u16 last = low(id);
    u16 count = 1;
    while ((table_[last].flags & VIRTQ_DESC_F_NEXT) != 0) {
        last = table_[last].next;
        ++count;
    }
    table_[last].next = free_head_;
    free_head_ = low(id);
    free_count_ = low(free_count_ + count);
    --in_flight_;
    ++next_used_;
    if (!want_interrupts_)
        used_event() = low(next_used_ + 0x8000u);
    return true;
}

bool Virtqueue::arm_interrupt() {
    if (!want_interrupts_)
        return used_[index_word] != next_used_ && !broken_;
    used_event() = next_used_;
    full_barrier();
    return used_[index_word] != next_used_ && !broken_;
}

} // namespace guest::virtio
