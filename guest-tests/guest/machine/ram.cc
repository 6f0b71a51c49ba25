// SPDX-License-Identifier: Apache-2.0
#include "machine/ram.h"

#include <algorithm>

extern "C" const char image_end[];

namespace guest {

constinit Ram ram;

void PageSet::add_run(u64 address, u64 pages) {
    if (used_ == runs_.size() || pages == 0)
        return;
    runs_[used_++] = {address, pages};
    count_ += pages;
}

u64* PageSet::page(u64 index) const {
    for (std::size_t i = 0; i < used_; ++i) {
        if (index < runs_[i].pages)
            return reinterpret_cast<u64*>(runs_[i].address + index * page_size);
        index -= runs_[i].pages;
    }
    return nullptr;
}

void Ram::init(const MemoryMapEntry* map, u32 entries) {
    u64 floor = align_up(reinterpret_cast<u64>(image_end), page_size);
    for (u32 i = 0; i < entries; ++i) {
        if (map[i].type != MemoryMapEntry::ram)
            continue;
        total_ += map[i].size;
        u64 begin = std::max(align_up(map[i].address, page_size), floor);
        u64 end = std::min(align_down(map[i].address + map[i].size, page_size), mapped);
        if (begin < end && used_ < extents_.size())
            extents_[used_++] = {begin, end};
    }
}

u64 Ram::available() const {
    u64 sum = 0;
    for (std::size_t i = 0; i < used_; ++i)
        sum += extents_[i].end - extents_[i].begin;
    return sum;
}

void* Ram::allocate(u64 size, u64 alignment) {
    for (std::size_t i = 0; i < used_; ++i) {
        Extent& extent = extents_[i];
        u64 begin = align_up(extent.begin, alignment);
        if (begin > extent.end || size > extent.end - begin)
            continue;
        extent.begin = begin + size;
        return memset(reinterpret_cast<void*>(begin), 0, size);
    }
    return nullptr;
}

PageSet Ram::take_pages(u64 bytes) {
    PageSet set;
    u64 wanted = bytes / page_size;
    for (std::size_t i = used_; i-- > 0 && wanted > 0;) {
        Extent& extent = extents_[i];
        u64 end = align_down(extent.end, page_size), begin = align_up(extent.begin, page_size);
        u64 pages = begin < end ? std::min(wanted, (end - begin) / page_size) : 0;
        extent.end = end - pages * page_size;
        set.add_run(extent.end, pages);
        wanted -= pages;
    }
    return set;
}

} // namespace guest
