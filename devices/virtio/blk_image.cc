// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_image.h"

#include "devices/virtio/blk_spec.h"
#include "vmm/base/log.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace godwit::virtio {

namespace {

// The lock of a disk covers all that a file can hold; marks are in the upper half of what can be locked.
constexpr std::int64_t kMarks = std::int64_t{1} << 62;

struct flock lock_range(int type, std::int64_t start, std::int64_t length) {
    struct flock range {};
    range.l_type = static_cast<short>(type);
    range.l_whence = SEEK_SET;
    range.l_start = start;
    range.l_len = length;
    return range;
}

struct flock mark_range(int type, std::uint64_t mark) {
    return lock_range(type, kMarks + static_cast<std::int64_t>(mark % (kMarks - 1)), 1);
}

} // namespace

Result<BlkImage> BlkImage::open(const std::string& path, bool readonly) {
    BlkImage image;
    image.path_ = path;
    image.readonly_ = readonly;
    // O_NONBLOCK so that a FIFO is refused below instead of waited for; it means nothing for files and disks.
    image.fd_ =
        TRY_IN(open_file(path, (readonly ? O_RDONLY : O_RDWR) | O_NONBLOCK, 0, ErrorCode::NoDevice), "disk");
    TRY_IN(image.measure(), fmt::format("disk '{}'", path));
    image.storage_ = std::make_shared<StableStorage>(TRY(image.fd_.duplicate()), path);
    return image;
}

Status BlkImage::measure() {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0)
        return system_error(errno, "fstat");
    if (S_ISREG(info.st_mode)) {
        bytes_ = static_cast<std::uint64_t>(info.st_size);
    } else if (S_ISBLK(info.st_mode)) {
        block_device_ = true;
        if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes_) != 0)
            return system_error(errno, "size of the block device");
        discard_limits_ = device_discard_limits(major(info.st_rdev), minor(info.st_rdev));
    } else {
        return invalid_input("neither a regular file nor a block device");
    }
    sectors_ = bytes_ / kSectorSize;
    if (sectors_ == 0)
        return invalid_input("{} bytes are too few for a disk", bytes_);
    if (bytes_ % kSectorSize != 0)
        log::warning("disk '{}': its last {} bytes are not a whole sector and are left out", path_,
                     bytes_ % kSectorSize);
    return {};
}

BlkImage::~BlkImage() {
    if (!locked_ || !fd_)
        return;
    if (const Status status = set_lock(F_UNLCK); !status.ok())
        log::warning("{}", status.error().text);
    remove_mark();
}

Status BlkImage::set_lock(int type) const {
    struct flock range = lock_range(type, 0, kMarks);
    if (::fcntl(fd_.get(), F_OFD_SETLK, &range) == 0)
        return {};
    if (errno == EAGAIN || errno == EACCES)
        return error(ErrorCode::NoDevice, "disk '{}' is in use: another process holds its lock", path_);
    return system_error(errno, fmt::format("lock of disk '{}'", path_));
}

Status BlkImage::lock() {
    if (locked_)
        return {};
    TRY(set_lock(readonly_ ? F_RDLCK : F_WRLCK));
    locked_ = true;
    set_mark();
    // Another host may have written since we opened it. Network file systems look again when a lock is
    // taken; for a shared block device what we have cached must go.
    if (block_device_)
        (void)::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
    return {};
}

Status BlkImage::unlock() {
    if (!locked_)
        return {};
    TRY(storage_->check());
    TRY(set_lock(F_UNLCK));
    remove_mark();
    locked_ = false;
    return {};
}

void BlkImage::set_mark() {
    if (::getrandom(&lock_mark_, sizeof lock_mark_, 0) != sizeof lock_mark_)
        lock_mark_ = 0;
    lock_mark_ %= kMarks - 1;
    struct flock range = mark_range(F_RDLCK, lock_mark_);
    if (lock_mark_ != 0 && ::fcntl(fd_.get(), F_OFD_SETLK, &range) != 0)
        lock_mark_ = 0;
}

void BlkImage::remove_mark() {
    struct flock range = mark_range(F_UNLCK, lock_mark_);
    if (std::exchange(lock_mark_, 0) != 0)
        (void)::fcntl(fd_.get(), F_OFD_SETLK, &range);
}

bool BlkImage::locked_by_stranger(std::uint64_t mark) const {
    struct flock range = lock_range(readonly_ ? F_RDLCK : F_WRLCK, 0, kMarks);
    if (::fcntl(fd_.get(), F_OFD_GETLK, &range) != 0 || range.l_type == F_UNLCK)
        return false;
    // The holder of an exclusive lock is the only one; sharers beside the one who marks are not told apart.
    // A lock that merely covers the byte is not the mark.
    const struct flock marked = mark_range(F_RDLCK, mark);
    struct flock found = mark_range(F_WRLCK, mark);
    return mark == 0 || ::fcntl(fd_.get(), F_OFD_GETLK, &found) != 0 || found.l_type != F_RDLCK ||
           found.l_start != marked.l_start || found.l_len != marked.l_len;
}

std::uint64_t BlkImage::current_bytes() const {
    struct stat info {};
    std::uint64_t bytes = 0;
    if (block_device_)
        return ::ioctl(fd_.get(), BLKGETSIZE64, &bytes) == 0 ? bytes : 0;
    return ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

std::optional<std::int64_t> BlkImage::modified() const {
    struct stat info {};
    if (block_device_ || ::fstat(fd_.get(), &info) != 0)
        return {};
    return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

} // namespace godwit::virtio
