// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/dirty_map.h"

namespace godwit {

DirtyMap::DirtyMap(std::uint64_t ram_size)
    : word_count_((ram_size / kPageSize + 63) / 64),
      words_(std::make_unique<std::atomic<std::uint64_t>[]>(word_count_)) {}

void DirtyMap::start() {
    for (std::uint64_t i = 0; i < word_count_; ++i)
        words_[i].store(0, std::memory_order_relaxed);
    on_.store(true);
}

void DirtyMap::stop() {
    on_.store(false);
}

void DirtyMap::mark(RamOffset offset, std::uint64_t length) {
    // Sequentially consistent, so that a write which start() did not see is ordered before the first harvest.
    if (length == 0 || !on_.load())
        return;
    const std::uint64_t last = (offset.value + length - 1) >> kPageShift;
    for (std::uint64_t page = offset.value >> kPageShift; page <= last; ++page)
        words_[page / 64].fetch_or(std::uint64_t{1} << (page % 64));
}

void DirtyMap::harvest_into(std::span<std::uint64_t> words) {
    for (std::uint64_t i = 0; i < word_count_ && i < words.size(); ++i) {
        if (words_[i].load(std::memory_order_relaxed) != 0)
            words[i] |= words_[i].exchange(0);
    }
}

} // namespace godwit
