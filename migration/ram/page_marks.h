// SPDX-License-Identifier: Apache-2.0
//
// One bit per page of guest RAM, shared by the threads of several connections. Any thread; what one thread
// did is ordered for another by whatever made it wait (the end of a round), not by the bits.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

namespace godwit::migration {

class PageMarks {
  public:
    explicit PageMarks(std::uint64_t pages) : pages_(pages), words_(std::make_unique<Word[]>(word_count())) {}

    std::uint64_t pages() const { return pages_; }
    bool test(std::uint64_t page) const { return (word(page / 64) >> (page % 64) & 1) != 0; }
    void set(std::uint64_t page) { words_[page / 64].fetch_or(bit(page), kRelaxed); }
    void clear(std::uint64_t page) { words_[page / 64].fetch_and(~bit(page), kRelaxed); }

    // Marks a run. False when a page of it was marked before.
    bool set_run(std::uint64_t first, std::uint64_t count) {
        bool fresh = true;
        each_word(first, count, [&](std::uint64_t index, std::uint64_t mask) {
            fresh = (words_[index].fetch_or(mask, kRelaxed) & mask) == 0 && fresh;
        });
        return fresh;
    }
    // Precondition: no other thread uses it meanwhile.
    void clear_all() {
        for (std::uint64_t index = 0; index < word_count(); ++index)
            words_[index].store(0, kRelaxed);
    }
    // The first marked page from `from` on; pages() when there is none.
    std::uint64_t next_set(std::uint64_t from) const {
        if (from >= pages_)
            return pages_;
        std::uint64_t index = from / 64;
        std::uint64_t found = word(index) & (~std::uint64_t{0} << (from % 64));
        while (found == 0) {
            if (++index == word_count())
                return pages_;
            found = word(index);
        }
        return index * 64 + static_cast<std::uint64_t>(std::countr_zero(found));
    }

  private:
    using Word = std::atomic<std::uint64_t>;
    static constexpr auto kRelaxed = std::memory_order_relaxed;

    static std::uint64_t bit(std::uint64_t page) { return std::uint64_t{1} << (page % 64); }
    std::uint64_t word(std::uint64_t index) const { return words_[index].load(kRelaxed); }
    std::uint64_t word_count() const { return (pages_ + 63) / 64; }
    template <class Visit>
    static void each_word(std::uint64_t first, std::uint64_t count, Visit&& visit) {
        for (std::uint64_t page = first, end = first + count; page < end;) {
            const std::uint64_t here = std::min(end - page, 64 - page % 64);
            visit(page / 64, (~std::uint64_t{0} >> (64 - here)) << (page % 64));
            page += here;
        }
    }

    std::uint64_t pages_;
    std::unique_ptr<Word[]> words_;
};

} // namespace godwit::migration
