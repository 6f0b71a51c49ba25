// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/queue.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <limits>

namespace godwit::virtio {

namespace {

// Longest chain of an indirect table. The specification's limit is the queue size, but drivers with a small
// ring are known to send longer indirect chains, and QEMU takes them up to this length.
constexpr std::uint32_t kIndirectLimit = kQueueSizeLimit;

Status check_area(const GuestMemory& memory, Gpa at, std::uint64_t length, std::uint64_t alignment,
                  std::string_view name) {
    if (at.value % alignment != 0)
        return error(ErrorCode::Guest, "{} at {} is not aligned to {} bytes", name, at, alignment);
    TRY_IN(memory.locate(at, length), name);
    return {};
}

// Section 2.7.10: whether moving from `before` to `now` passed `event`. All three wrap.
constexpr bool passed(std::uint16_t event, std::uint16_t now, std::uint16_t before) {
    return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - before);
}

} // namespace

void Chain::clear() {
    head = 0;
    readable.clear();
    writable.clear();
    readable_bytes = 0;
    writable_bytes = 0;
}

SplitQueue::SplitQueue(GuestMemory& memory, const Config& config, std::uint16_t last_avail_index)
    : memory_(&memory), config_(config), last_avail_(last_avail_index), shadow_avail_(last_avail_index),
      heads_((config.size + 63u) / 64u) {}

Status SplitQueue::check_areas(const GuestMemory& memory, std::uint16_t size, const QueueAddresses& at) {
    if (!std::has_single_bit(size))
        return error(ErrorCode::Guest, "queue size {} is not a power of two", size);
    TRY(check_area(memory, at.desc, 16 * std::uint64_t{size}, 16, "descriptor table"));
    TRY(check_area(memory, at.driver, 6 + 2 * std::uint64_t{size}, 2, "available ring"));
    return check_area(memory, at.device, 6 + 8 * std::uint64_t{size}, 4, "used ring");
}

Result<SplitQueue> SplitQueue::create(GuestMemory& memory, const Config& config,
                                      std::uint16_t last_avail_index) {
    TRY(check_areas(memory, config.size, config.addresses));
    SplitQueue queue{memory, config, last_avail_index};
    queue.used_index_ = TRY(queue.load_word(queue.used_idx()));
    if (queue.in_flight() > config.size)
        return error(ErrorCode::Guest, "{} chains in flight (available {}, used {}) in a queue of {}",
                     queue.in_flight(), last_avail_index, queue.used_index_, config.size);
    return queue;
}

Result<std::uint16_t> SplitQueue::load_word(Gpa at) const {
    return in_order(TRY(memory_->load_acquire<std::uint16_t>(at)), config_.endian);
}

Status SplitQueue::store_word(Gpa at, std::uint16_t value) {
    return memory_->store_release(at, in_order(value, config_.endian));
}

Result<std::uint16_t> SplitQueue::available() {
    shadow_avail_ = TRY(load_word(avail_idx()));
    const auto count = static_cast<std::uint16_t>(shadow_avail_ - last_avail_);
    if (count > config_.size)
        return error(ErrorCode::Guest, "available index {} is {} ahead of {} in a queue of {}", shadow_avail_,
                     count, last_avail_, config_.size);
    return count;
}

Status SplitQueue::check_indices() {
    const auto used = TRY(load_word(used_idx()));
    if (used != used_index_)
        return error(ErrorCode::Guest, "the driver changed the used index from {} to {}", used_index_, used);
    TRY(available());
    return {};
}

Result<bool> SplitQueue::pop(Chain& chain) {
    chain.clear();
    if (shadow_avail_ == last_avail_ && TRY(available()) == 0)
        return false;
    const std::uint64_t slot = last_avail_ & (config_.size - 1u);
    chain.head =
        in_order(TRY(memory_->read<std::uint16_t>(Gpa{config_.addresses.driver.value + 4 + 2 * slot})),
                 config_.endian);
    if (chain.head >= config_.size)
        return error(ErrorCode::Guest, "head {} in a queue of {}", chain.head, config_.size);
    if (is_in_flight(chain.head))
        return error(ErrorCode::Guest, "head {} was offered again while it is still in flight", chain.head);
    TRY(read_chain(chain));
    flip_in_flight(chain.head);
    ++last_avail_;
    return true;
}

Status SplitQueue::pop_again(std::uint16_t head, Chain& chain) {
    chain.clear();
    if (head >= config_.size)
        return error(ErrorCode::Guest, "head {} in a queue of {}", head, config_.size);
    std::size_t known = 0;
    for (const std::uint64_t word : heads_)
        known += static_cast<std::size_t>(std::popcount(word));
    if (!is_in_flight(head) && known >= in_flight())
        return error(ErrorCode::Guest, "head {} beside {} that are in flight, which are all", head, known);
    chain.head = head;
    TRY(read_chain(chain));
    if (!is_in_flight(head))
        flip_in_flight(head);
    return {};
}

std::vector<SplitQueue::Part> SplitQueue::parts_of(const Chain& chain) const {
    std::vector<Part> parts;
    const auto add = [&](const auto& slice) {
        parts.push_back({memory_->address_of(slice.for_kernel()), static_cast<std::uint32_t>(slice.size())});
    };
    for (const GuestReadSlice& slice : chain.readable)
        add(slice);
    for (const GuestWriteSlice& slice : chain.writable)
        add(slice);
    return parts;
}

Status SplitQueue::read_chain(Chain& chain) const {
    Table indirect{};
    TRY(read_table({config_.addresses.desc, config_.size}, chain.head, chain, &indirect));
    if (indirect.entries != 0)
        TRY(read_table(indirect, 0, chain, nullptr));
    return {};
}

// Follows a chain through one table. `indirect` receives a reference to an indirect table, which ends the
// chain; a null pointer says that none may come.
Status SplitQueue::read_table(const Table& table, std::uint16_t first, Chain& chain, Table* indirect) const {
    std::uint32_t index = first;
    for (std::uint32_t count = 0;; ++count) {
        if (count == table.entries)
            return error(ErrorCode::Guest, "the chain at {} is longer than its table: a loop", chain.head);
        if (index >= table.entries)
            return error(ErrorCode::Guest, "descriptor {} in a table of {}", index, table.entries);
        const auto desc =
            in_order(TRY(memory_->read<virtq_desc>(Gpa{table.base.value + 16 * std::uint64_t{index}})),
                     config_.endian);
        if ((desc.flags & VIRTQ_DESC_F_INDIRECT) != 0) {
            if (indirect == nullptr)
                return error(ErrorCode::Guest, "indirect descriptor inside an indirect table");
            if (!config_.indirect)
                return error(ErrorCode::Guest, "indirect descriptor without the feature");
            if ((desc.flags & VIRTQ_DESC_F_NEXT) != 0)
                return error(ErrorCode::Guest, "indirect descriptor with a next one");
            if (desc.len == 0 || desc.len % sizeof(virtq_desc) != 0)
                return error(ErrorCode::Guest, "indirect table of {} bytes", desc.len);
            const auto entries = static_cast<std::uint32_t>(desc.len / sizeof(virtq_desc));
            if (entries > kIndirectLimit)
                return error(ErrorCode::Guest, "indirect table of {} descriptors, at most {} are taken",
                             entries, kIndirectLimit);
            *indirect = {Gpa{desc.addr}, entries};
            TRY_IN(memory_->locate(indirect->base, desc.len), "indirect table");
            return {};
        }
        TRY(add_descriptor(desc, chain));
        if ((desc.flags & VIRTQ_DESC_F_NEXT) == 0)
            return {};
        index = desc.next;
    }
}

Status SplitQueue::add_descriptor(const virtq_desc& desc, Chain& chain) const {
    if (desc.len == 0)
        return error(ErrorCode::Guest, "descriptor of no bytes");
    if (chain.readable_bytes + chain.writable_bytes + desc.len > std::numeric_limits<std::uint32_t>::max())
        return error(ErrorCode::Guest, "the chain at {} has 4 GiB or more", chain.head);
    if ((desc.flags & VIRTQ_DESC_F_WRITE) != 0) {
        chain.writable.push_back(TRY(memory_->writable(Gpa{desc.addr}, desc.len)));
        chain.writable_bytes += desc.len;
    } else {
        if (!chain.writable.empty())
            return error(ErrorCode::Guest, "readable descriptor after a writable one");
        chain.readable.push_back(TRY(memory_->readable(Gpa{desc.addr}, desc.len)));
        chain.readable_bytes += desc.len;
    }
    return {};
}

void SplitQueue::unpop(const Chain& chain) {
    flip_in_flight(chain.head);
    --last_avail_;
}

Status SplitQueue::push(std::span<const Used> elements) {
    if (elements.empty())
        return {};
    std::uint16_t index = used_index_;
    for (const Used& used : elements) {
        if (used.head >= config_.size || !is_in_flight(used.head))
            return error(ErrorCode::Internal, "head {} was used but is not in flight", used.head);
        const std::uint64_t slot = index & (config_.size - 1u);
        const virtq_used_elem element{in_order(std::uint32_t{used.head}, config_.endian),
                                      in_order(used.written, config_.endian)};
        TRY(memory_->write(Gpa{config_.addresses.device.value + 4 + 8 * slot}, element));
        flip_in_flight(used.head);
        ++index;
    }
    // Release: the driver that sees the index sees the elements and the data too.
    TRY(store_word(used_idx(), index));
    // The driver's event can no longer be told from an older one after half a turn of the index.
    if (static_cast<std::uint16_t>(index - signalled_used_) >= 0x8000)
        signalled_used_valid_ = false;
    used_index_ = index;
    return {};
}

Result<bool> SplitQueue::interrupt_wanted() {
    // The index that push() stored must be visible before we look at what the driver wants: it does the same
    // in the opposite order, so one of the two sees the other.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!config_.event_idx) {
        const auto flags = TRY(load_word(config_.addresses.driver));
        return (flags & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }
    const auto event = TRY(load_word(used_event()));
    const bool wanted = !signalled_used_valid_ || passed(event, used_index_, signalled_used_);
    signalled_used_ = used_index_;
    signalled_used_valid_ = true;
    return wanted;
}

Result<bool> SplitQueue::enable_notification() {
    if (config_.event_idx)
        TRY(store_word(avail_event(), last_avail_));
    else
        TRY(store_word(config_.addresses.device, 0));
    // Same reason as in interrupt_wanted(): our wish must be visible before we look for the last time.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return TRY(available()) != 0;
}

Status SplitQueue::disable_notification() {
    // With EVENT_IDX an event index that stays behind asks for nothing.
    if (config_.event_idx)
        return {};
    return store_word(config_.addresses.device, VIRTQ_USED_F_NO_NOTIFY);
}

} // namespace godwit::virtio
