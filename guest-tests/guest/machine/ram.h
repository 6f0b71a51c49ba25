// SPDX-License-Identifier: Apache-2.0
#pragma once
// The RAM above the image, from the boot loader's memory map.  Rings and buffers are carved off its bottom,
// the pages that the mem program works on off its top; nothing is ever given back.
#include "base/types.h"
#include "boot/start_info.h"

#include <array>

namespace guest {

// Pages in a few runs, numbered from 0 on.
class PageSet {
  public:
    constexpr PageSet() = default;
    void add_run(u64 address, u64 pages);
    u64 count() const { return count_; }
    u64* page(u64 index) const;

  private:
    struct Run {
        u64 address = 0, pages = 0;
    };
    std::array<Run, 8> runs_{};
    std::size_t used_ = 0;
    u64 count_ = 0;
};

class Ram {
  public:
    static constexpr u64 mapped = 16 * GiB; // what the page tables reach (boot/tables.S)

    void init(const MemoryMapEntry* map, u32 entries);
    u64 total() const { return total_; } // all RAM in the map
    u64 available() const;               // bytes left

    void* allocate(u64 size, u64 alignment); // zeroed; null when RAM is used up
    PageSet take_pages(u64 bytes);           // as many as there are, at most `bytes`

  private:
    struct Extent {
        u64 begin, end;
    };
    std::array<Extent, 8> extents_{};
    std::size_t used_ = 0;
    u64 total_ = 0;
};

extern Ram ram;

} // namespace guest
