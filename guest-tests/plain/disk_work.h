// SPDX-License-Identifier: Apache-2.0
//
// The disk program: numbered, checksummed blocks at random places of the first disk, each read back and
// compared with a table in RAM of what was written last (guest-tests/guest/programs/block_content.h has the
// format). One operation at a time, done when a step ends; a write goes through a page of RAM, as every
// driver's does. Threads: the first CPU's.
#pragma once

#include "devices/virtio/blk_image.h"
#include "guest-tests/guest/base/pacer.h"
#include "guest-tests/plain/layout.h"
#include "guest-tests/plain/output.h"
#include "guest-tests/plain/state.h"

#include <functional>
#include <string_view>

namespace godwit::plain {

struct DiskPlan {
    std::uint64_t blocks = 0;
    std::uint64_t rate = 0; // bytes per second, 0: no limit
    std::uint64_t generation = 1;
    bool writes = true;

    static DiskPlan of(const guest::Options& options, const Layout& layout, bool readonly);
};

// Whether a state that came from elsewhere stays within the plan.
Status check_state(const DiskState& state, const DiskPlan& plan);

class DiskWork {
  public:
    // `tell(what, block, detail)` hears of whatever is wrong, in the words of the guest's disk program.
    using Tell = std::function<void(std::string_view what, std::uint64_t block, std::uint64_t detail)>;
    DiskWork(GuestMemory& memory, const virtio::BlkImage& image, DiskState& state, const DiskPlan& plan,
             Tell tell);

    // Does a little; the time at which it wants to go on. `finishing`: reads every block once more.
    std::uint64_t step(std::uint64_t now, bool finishing);
    bool verified() const { return state_.verify_next == plan_.blocks; }
    void start_line(Output& output) const;
    void print_status(Output& output) const;

  private:
    struct Entry { // of the table
        std::uint32_t content;
        std::uint32_t sequence;
        std::uint32_t digest; // of a block that was only read so far
        std::uint32_t unused;
    };
    static_assert(sizeof(Entry) == Layout::kDiskEntryBytes);

    void work();
    void write(std::uint64_t block);
    void read(std::uint64_t block);
    void check(std::uint64_t block, const void* content);
    void flush();
    void fail(std::string_view what, std::uint64_t block, std::uint64_t detail);
    std::uint64_t random_below(std::uint64_t limit);
    Gpa entry_address(std::uint64_t block) const;

    GuestMemory& memory_;
    const virtio::BlkImage& image_;
    DiskState& state_;
    const DiskPlan plan_;
    const Tell tell_;
    guest::Pacer pacer_;
};

} // namespace godwit::plain
