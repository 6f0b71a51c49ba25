// SPDX-License-Identifier: Apache-2.0
//
// The file behind a block device: a raw image or a host block device. The format is never guessed from the
// content, which the guest writes. Threads: one at a time; lock() and unlock() may wait for a network file
// system.
#pragma once

#include "devices/virtio/blk_discard.h"
#include "devices/virtio/stable_storage.h"
#include "vmm/base/fd.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace godwit::virtio {

class BlkImage {
  public:
    // Anything else than a regular file or a block device is refused, so is an empty one. Takes no lock.
    static Result<BlkImage> open(const std::string& path, bool readonly);
    // Lets go of the lock: a ring may hold the file for a while after it was closed, and the next one to open
    // it must not have to wait for that.
    ~BlkImage();
    BlkImage(BlkImage&&) = default;
    BlkImage& operator=(BlkImage&&) = default;

    const std::string& path() const { return path_; }
    const Fd& fd() const { return fd_; }
    bool readonly() const { return readonly_; }
    // A last part of less than 512 bytes does not count.
    std::uint64_t sectors() const { return sectors_; }
    bool block_device() const { return block_device_; }
    const DiscardLimits& discard_limits() const { return discard_limits_; }

    // Takes a lock on the open file description: exclusive for a writer, shared for a reader. Another
    // holder is an error that names the path. Idempotent. Beside it goes a mark: a shared lock of one byte
    // far beyond the end of any file, at a random place that lock_mark() tells.
    Status lock();
    // Lets go, for another host to continue. Whoever has written must have brought it to stable storage
    // before; when something was lost on the way there, the lock is kept. Idempotent.
    Status unlock();
    // Where what is written goes; it may live longer than the image.
    const std::shared_ptr<StableStorage>& storage() const { return storage_; }
    bool locked() const { return locked_; }
    // 0 when not locked, or when the file system knows no such locks.
    std::uint64_t lock_mark() const { return lock_mark_; }
    // Whether lock() would fail now, and not only because of the holder of `mark`: who sees that mark in this
    // file looks at the holder's file. Any thread.
    bool locked_by_stranger(std::uint64_t mark) const;
    // Size of the file or device now; 0 when that cannot be told.
    std::uint64_t current_bytes() const;
    std::uint64_t bytes_at_start() const { return bytes_; }
    // When the file was last written, ns since 1970. Nothing of a block device, whose node has another time.
    std::optional<std::int64_t> modified() const;

  private:
    BlkImage() = default;
    Status measure();
    Status set_lock(int type) const;
    void set_mark();
    void remove_mark();

    std::string path_;
    Fd fd_;
    std::shared_ptr<StableStorage> storage_;
    bool readonly_ = false;
    bool block_device_ = false;
    bool locked_ = false;
    std::uint64_t lock_mark_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t sectors_ = 0;
    DiscardLimits discard_limits_;
};

} // namespace godwit::virtio
