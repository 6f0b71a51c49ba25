// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/dirty_log.h"

#include "vmm/base/log.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <algorithm>
#include <cassert>

namespace godwit::kvm {

namespace {

std::uint64_t words_of(std::uint64_t pages) {
    return (pages + kPagesPerWord - 1) / kPagesPerWord;
}

} // namespace

DirtyLog::~DirtyLog() {
    if (const auto status = stop(); !status.ok())
        log::error("dirty log: {}", status.error().text);
}

Status DirtyLog::start() {
    if (on_)
        return {};
    on_ = true; // also after a failure: then some slots may log
    return vm_.set_dirty_logging(true);
}

Status DirtyLog::stop() {
    if (!on_)
        return {};
    TRY(vm_.set_dirty_logging(false));
    on_ = false;
    return {};
}

std::uint64_t DirtyLog::word_count() const {
    return words_of(vm_.memory().page_count());
}

// Slots start on whole words (Vm::create), so a slot's bitmap is a run of ours.
Status DirtyLog::harvest_into(std::span<std::uint64_t> words) {
    assert(words.size() == word_count());
    std::vector<std::uint64_t> bitmap;
    for (const MemorySlot& slot : vm_.slots()) {
        bitmap.assign(words_of(slot.page_count()), 0);
        kvm_dirty_log request{};
        request.slot = slot.id;
        request.dirty_bitmap = bitmap.data();
        TRY(KVM_CONTROL(vm_.fd(), KVM_GET_DIRTY_LOG, &request));
        // With every bit set at the start, KVM also sets those after the last page.
        if (const std::uint64_t rest = slot.page_count() % kPagesPerWord; rest != 0)
            bitmap.back() &= (std::uint64_t{1} << rest) - 1;
        const auto out = words.subspan(slot.first_page() / kPagesPerWord, bitmap.size());
        std::ranges::transform(out, bitmap, out.begin(), std::bit_or<>{});
    }
    return {};
}

Status DirtyLog::take_into(std::span<std::uint64_t> words) {
    std::vector<std::uint64_t> found(word_count());
    TRY(harvest_into(found));
    TRY(clear(0, found));
    std::ranges::transform(words, found, words.begin(), std::bit_or<>{});
    return {};
}

Status DirtyLog::clear(std::uint64_t first_word, std::span<const std::uint64_t> words) {
    // Without manual protection the harvest has cleared them.
    if (!vm_.dirty_log_clears_by_hand())
        return {};
    for (const MemorySlot& slot : vm_.slots()) {
        const std::uint64_t slot_first = slot.first_page() / kPagesPerWord;
        const std::uint64_t slot_end = slot_first + words_of(slot.page_count());
        const std::uint64_t from = std::max(first_word, slot_first);
        const std::uint64_t to = std::min(first_word + words.size(), slot_end);
        if (from >= to)
            continue;
        // KVM wants a multiple of 64 pages, or exactly up to the end of the slot.
        const std::uint64_t first_page = (from - slot_first) * kPagesPerWord;
        const std::uint64_t pages = std::min((to - from) * kPagesPerWord, slot.page_count() - first_page);
        auto part = words.subspan(from - first_word, to - from);
        if (std::ranges::all_of(part, [](std::uint64_t word) { return word == 0; }))
            continue;
        kvm_clear_dirty_log request{};
        request.slot = slot.id;
        request.first_page = first_page;
        request.num_pages = static_cast<__u32>(pages);
        request.dirty_bitmap = const_cast<std::uint64_t*>(part.data()); // KVM only reads it
        TRY(KVM_CONTROL(vm_.fd(), KVM_CLEAR_DIRTY_LOG, &request));
    }
    return {};
}

} // namespace godwit::kvm
