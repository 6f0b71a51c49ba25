// SPDX-License-Identifier: Apache-2.0
//
// How a disk gives space back. Holes in a file are fallocate's. On a block device that call writes zeros (and
// its flag for a discard, NO_HIDE_STALE, is refused by every kernel), so the device is told with BLKDISCARD,
// which waits and therefore runs on a helper's thread. Limits: Documentation/ABI/stable/sysfs-block.
#pragma once

#include "devices/virtio/blk_spec.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"
#include "vmm/loop/helper.h"
#include "vmm/loop/loop.h"

#include <cstdint>
#include <memory>
#include <string>

namespace godwit::virtio {

// Most sectors in one discard or write-zeroes request.
inline constexpr std::uint32_t kBlkMaxRangeSectors = 0x7fffffff / kSectorSize;

// What a driver is told. As it stands: a file, whose file system judges each request.
struct DiscardLimits {
    bool possible = true;
    std::uint32_t alignment = 1;                     // sectors
    std::uint32_t max_sectors = kBlkMaxRangeSectors; // of one request
    bool zeroing_unmaps = true;                      // writing zeros may give space back
    bool operator==(const DiscardLimits&) const = default;
};

// Of the block device with this number. Unknown ones count as a device that cannot discard.
DiscardLimits device_discard_limits(std::uint32_t major, std::uint32_t minor);
// From a folder like /sys/block/sda/queue. Any thread.
Result<DiscardLimits> read_discard_limits(const std::string& queue_folder);

// Discards on one block device, one after the other. Threads: loop only.
class DeviceDiscarder {
  public:
    static Result<std::unique_ptr<DeviceDiscarder>> create(Loop& loop, const Fd& device);
    // Ends like the loop's operations.
    void discard(Operation& operation, std::uint64_t offset, std::uint64_t length);

  private:
    explicit DeviceDiscarder(Fd device) : device_(std::move(device)) {}
    const Fd device_; // its own: a call may outlive the image
    std::unique_ptr<Helper> helper_;
};

} // namespace godwit::virtio
