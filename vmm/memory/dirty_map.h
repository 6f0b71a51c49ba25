// SPDX-License-Identifier: Apache-2.0
//
// Pages that the VMM itself has written. KVM's dirty log sees only the guest's own writes; a migration sends
// the union of both.
#pragma once

#include "vmm/base/address.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

namespace godwit {

// Any thread may mark; one thread harvests.
class DirtyMap {
  public:
    explicit DirtyMap(std::uint64_t ram_size);

    // Marks are dropped while the map is off: nobody would read them.
    void start();
    void stop();

    // Call after the write has landed: a mark set earlier could be harvested before the data is there.
    void mark(RamOffset offset, std::uint64_t length);

    // Words of 64 pages; bit 0 of word 0 is the first page.
    std::uint64_t word_count() const { return word_count_; }
    // ORs the marks into `words` (word_count() of them) and clears them here.
    void harvest_into(std::span<std::uint64_t> words);

  private:
    std::uint64_t word_count_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
    std::atomic<bool> on_{false};
};

} // namespace godwit
