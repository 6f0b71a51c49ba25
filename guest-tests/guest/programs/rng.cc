// SPDX-License-Identifier: Apache-2.0
#include "programs/rng.h"

#include "base/options.h"
#include "machine/clock.h"
#include "machine/ram.h"
#include "programs/interrupt_mode.h"

#include <algorithm>

namespace guest {

namespace {

constexpr u8 never_written = 0xa5;
constexpr u64 enough_to_judge = 4096; // bytes

u64 word_at(const u8* data) {
    u64 word = 0;
    memcpy(&word, data, sizeof word);
    return word;
}

} // namespace

bool Rng::start() {
    if (!device_.attach(interrupt_mode()) || !device_.begin()) {
        Failure("rng", "no_usable_device");
        return false;
    }
    depth_ = static_cast<u32>(
        std::clamp<u64>(options.number("rng.depth", 4), 1, std::min(max_depth, device_.queue_size())));
    size_ = static_cast<u32>(std::clamp<u64>(options.bytes("rng.size", 64), sizeof(u64), max_size));
    pause_ = options.number("rng.pause", 10'000) * microsecond;
    auto* data = static_cast<u8*>(ram.allocate(depth_ * size_, page_size));
    if (data == nullptr) {
        Failure("rng", "not_enough_ram");
        return false;
    }
    for (u32 i = 0; i < depth_; ++i)
        slots_[i].data = data + i * size_;
    reinit_.begin();
    Report("rng").add("slot", device_.where()).add("depth", depth_).add("size", size_);
    return true;
}

void Rng::fail(std::string_view what, u64 detail) {
    ++errors_;
    Failure("rng", what).add("request", requests_).add("detail", detail);
    over_ = true;
}

void Rng::complete(u16 slot, u32 length) {
    if (slot >= depth_ || !slots_[slot].busy)
        return fail("broken_queue", slot);
    slots_[slot].busy = false;
    --in_flight_;
    const u8* data = slots_[slot].data;
    if (length == 0 || length > size_)
        return fail("wrong_length", length);
    if (!std::all_of(data + length, data + size_, [](u8 byte) { return byte == never_written; }))
        return fail("written_beyond_length", length);
    if (length >= sizeof(u64)) { // eight equal bytes, or one of the last words again: once in 2^50
        u64 word = word_at(data);
        if (word == (word & 0xff) * 0x0101010101010101)
            return fail("constant", word);
        if (std::find(seen_.begin(), seen_.end(), word) != seen_.end())
            return fail("repeated", word);
        seen_[requests_ % seen_.size()] = word;
    }
    ++requests_;
    bytes_ += length;
    for (u32 i = 0; i < length; ++i)
        for (u32 rest = data[i]; rest != 0; rest &= rest - 1)
            ++ones_;
}

// 32768 fair coins are 20 standard deviations away from this.
void Rng::judge_all() {
    u64 bits = 8 * bytes_;
    if (bytes_ >= enough_to_judge && (ones_ * 9 < bits * 4 || ones_ * 9 > bits * 5))
        fail("not_fair", ones_);
}

u64 Rng::step(u64 now) {
    device_.poll([this](u16 slot, u32 length) { complete(slot, length); });
    if (device_.broken() && !over_)
        fail("broken_queue");
    if (over_)
        return now + second;
    if (reinit_.due(now) && !finishing_) { // drain first
        if (in_flight_ > 0)
            return now + millisecond;
        reinit_.did(now);
        if (!device_.begin()) {
            fail("reinit");
            return now + second;
        }
    }
    if (!finishing_ && now >= due_) {
        for (u16 slot = 0; slot < depth_; ++slot) {
            if (slots_[slot].busy)
                continue;
            memset(slots_[slot].data, never_written, size_);
            if (!device_.ask(slot, slots_[slot].data, size_))
                break;
            slots_[slot].busy = true;
            ++in_flight_;
        }
        device_.kick();
        due_ = now + pause_;
    }
    if (finishing_ && in_flight_ == 0) {
        over_ = true;
        judge_all();
    }
    return device_.polled() && in_flight_ > 0 ? now + 200 * microsecond : due_ > now ? due_ : now + pause_;
}

void Rng::print_status() const {
    Report("rng")
        .add("requests", requests_)
        .add("bytes", bytes_)
        .add("ones", ones_)
        .add("reinits", reinit_.done())
        .add("errors", errors_);
}

} // namespace guest
