// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/compare_pages.h"

#include <algorithm>
#include <map>

namespace godwit::migration::inspect {

namespace {

constexpr std::size_t kMaxRanges = 64;

// Content of the pages of one block in the order of addresses: the last record of a page wins.
struct Content {
    std::uint64_t count;
    std::uint32_t key;
    bool zero;
    bool operator==(const Content& other) const { return zero == other.zero && key == other.key; }
};
using Pages = std::map<std::uint64_t, Content>; // by the first page of a run

class PageTable {
  public:
    void put(const PageRun& run) {
        cut(run.first);
        cut(run.first + run.count);
        pages_.erase(pages_.lower_bound(run.first), pages_.lower_bound(run.first + run.count));
        pages_[run.first] = {run.count, run.key, run.zero};
    }
    const Pages& pages() const { return pages_; }

  private:
    // No run goes across this page's start.
    void cut(std::uint64_t page) {
        auto after = pages_.upper_bound(page);
        if (after == pages_.begin())
            return;
        const auto run = std::prev(after);
        const std::uint64_t before = page - run->first;
        if (before == 0 || before >= run->second.count)
            return;
        Content rest = run->second;
        rest.count -= before;
        run->second.count = before;
        pages_.emplace_hint(after, page, rest);
    }

    Pages pages_;
};

PageTable table_of(const Ram& ram, const std::string& block) {
    PageTable table;
    for (const PageRun& run : ram.pages)
        if (ram.blocks[run.block].name == block)
            table.put(run);
    return table;
}

void add_range(RamDifference& difference, std::uint64_t first, std::uint64_t count) {
    difference.differing += count;
    if (!difference.ranges.empty()) {
        PageRange& last = difference.ranges.back();
        if (last.first + last.count == first) {
            last.count += count;
            return;
        }
    }
    if (difference.ranges.size() < kMaxRanges)
        difference.ranges.push_back({first, count});
}

// A page that no record tells of is zero.
RamDifference compare_tables(const Pages& first, const Pages& second) {
    constexpr Content kAbsent{0, 0, true};
    RamDifference difference;
    auto a = first.begin();
    auto b = second.begin();
    for (std::uint64_t at = 0; a != first.end() || b != second.end();) {
        if (a != first.end() && at >= a->first + a->second.count) {
            ++a;
            continue;
        }
        if (b != second.end() && at >= b->first + b->second.count) {
            ++b;
            continue;
        }
        const bool in_a = a != first.end() && a->first <= at;
        const bool in_b = b != second.end() && b->first <= at;
        std::uint64_t end = UINT64_MAX;
        if (a != first.end())
            end = std::min(end, in_a ? a->first + a->second.count : a->first);
        if (b != second.end())
            end = std::min(end, in_b ? b->first + b->second.count : b->first);
        const Content& left = in_a ? a->second : kAbsent;
        const Content& right = in_b ? b->second : kAbsent;
        if (!(left == right))
            add_range(difference, at, end - at);
        at = end;
    }
    return difference;
}

} // namespace

RamDifference compare_pages(const Ram& first, const Ram& second, const std::string& block) {
    const PageTable a = table_of(first, block);
    const PageTable b = table_of(second, block);
    return compare_tables(a.pages(), b.pages());
}

} // namespace godwit::migration::inspect
