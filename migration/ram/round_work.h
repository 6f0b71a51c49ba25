// SPDX-License-Identifier: Apache-2.0
//
// The pages of one round, handed out in ranges to the senders of several connections: each page once. Any
// thread.
#pragma once

#include "migration/ram/page_bitmap.h"

#include <mutex>
#include <optional>

namespace godwit::migration {

struct PageRange {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
};

class RoundWork {
  public:
    // `pages` must outlive it and not change.
    explicit RoundWork(const PageBitmap& pages) : pages_(pages) {}

    const PageBitmap& pages() const { return pages_; }
    // The next range with pages to send, ascending; nothing when all are handed out or the round was given
    // up.
    std::optional<PageRange> next() {
        const std::lock_guard lock{mutex_};
        const std::uint64_t first = pages_.next_set(next_);
        if (first == pages_.pages())
            return std::nullopt;
        next_ = std::min((first / kRangePages + 1) * kRangePages, pages_.pages());
        return PageRange{first, next_};
    }
    void give_up() {
        const std::lock_guard lock{mutex_};
        next_ = pages_.pages();
    }

  private:
    // A huge page: a range of it that became zero can be given back to the host as a whole.
    static constexpr std::uint64_t kRangePages = 512;

    const PageBitmap& pages_;
    std::mutex mutex_;
    std::uint64_t next_ = 0; // under mutex_
};

} // namespace godwit::migration
