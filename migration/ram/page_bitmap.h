// SPDX-License-Identifier: Apache-2.0
//
// One bit per page of guest RAM, in words of 64 as MachinePort::harvest_dirty() has them. One thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace godwit::migration {

class PageBitmap {
  public:
    explicit PageBitmap(std::uint64_t pages) : pages_(pages), words_((pages + 63) / 64) {}

    std::uint64_t pages() const { return pages_; }
    std::span<std::uint64_t> words() { return words_; }
    bool test(std::uint64_t page) const { return (words_[page / 64] >> (page % 64) & 1) != 0; }
    void set(std::uint64_t page) { words_[page / 64] |= bit(page); }
    void clear(std::uint64_t page) { words_[page / 64] &= ~bit(page); }
    void clear_all() { std::fill(words_.begin(), words_.end(), 0); }
    void set_all() {
        std::fill(words_.begin(), words_.end(), ~std::uint64_t{0});
        drop_excess();
    }
    // Bits behind the last page mean nothing: what somebody else wrote there is dropped.
    void drop_excess() {
        if (pages_ % 64 != 0)
            words_.back() &= (std::uint64_t{1} << (pages_ % 64)) - 1;
    }
    std::uint64_t count() const {
        std::uint64_t total = 0;
        for (const std::uint64_t word : words_)
            total += static_cast<std::uint64_t>(std::popcount(word));
        return total;
    }
    // The first page from `from` on whose bit is set; pages() when there is none.
    std::uint64_t next_set(std::uint64_t from) const {
        if (from >= pages_)
            return pages_;
        std::uint64_t index = from / 64;
        std::uint64_t word = words_[index] & (~std::uint64_t{0} << (from % 64));
        while (word == 0) {
            if (++index == words_.size())
                return pages_;
            word = words_[index];
        }
        return index * 64 + static_cast<std::uint64_t>(std::countr_zero(word));
    }

  private:
    static std::uint64_t bit(std::uint64_t page) { return std::uint64_t{1} << (page % 64); }

    std::uint64_t pages_;
    std::vector<std::uint64_t> words_;
};

} // namespace godwit::migration
