// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/blk_image.h"

#include "devices/virtio/blk_spec.h"
#include "vmm/base/log.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit::virtio {

Result<BlkImage> BlkImage::open(const std::string& path, bool readonly) {
    BlkImage image;
    image.path_ = path;
    image.readonly_ = readonly;
    // O_NONBLOCK so that a FIFO is refused below instead of waited for; it means nothing for files and disks.
    image.fd_ =
        TRY_IN(open_file(path, (readonly ? O_RDONLY : O_RDWR) | O_NONBLOCK, 0, ErrorCode::NoDevice), "disk");
    TRY_IN(image.measure(), fmt::format("disk '{}'", path));
    return image;
}

Status BlkImage::measure() {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0)
        return system_error(errno, "fstat");
    std::uint64_t bytes = 0;
    if (S_ISREG(info.st_mode)) {
        bytes = static_cast<std::uint64_t>(info.st_size);
    } else if (S_ISBLK(info.st_mode)) {
        block_device_ = true;
        if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0)
            return system_error(errno, "size of the block device");
    } else {
        return invalid_input("neither a regular file nor a block device");
    }
    sectors_ = bytes / kSectorSize;
    if (sectors_ == 0)
        return invalid_input("{} bytes are too few for a disk", bytes);
    if (bytes % kSectorSize != 0)
        log::warning("disk '{}': its last {} bytes are not a whole sector and are left out", path_,
                     bytes % kSectorSize);
    return {};
}

Status BlkImage::set_lock(int type) const {
    struct flock range {}; // l_len 0: the whole file
    range.l_type = static_cast<short>(type);
    range.l_whence = SEEK_SET;
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
    // Another host may have written since we opened it. Network file systems look again when a lock is
    // taken; for a shared block device what we have cached must go.
    if (block_device_)
        (void)::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
    return {};
}

Status BlkImage::unlock() {
    if (!locked_)
        return {};
    if (!readonly_ && ::fdatasync(fd_.get()) != 0)
        return system_error(errno, fmt::format("write back disk '{}'", path_));
    TRY(set_lock(F_UNLCK));
    locked_ = false;
    return {};
}

} // namespace godwit::virtio
