// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/in_use.h"

#include "vmm/base/fd.h"

#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>

namespace godwit {

namespace {

// Open file descriptions lock against each other, also two of one process.
bool is_locked(const Fd& fd) {
    struct flock all {};
    all.l_type = F_WRLCK;
    all.l_whence = SEEK_SET;
    return ::fcntl(fd.get(), F_OFD_GETLK, &all) == 0 && all.l_type != F_UNLCK;
}

bool is_open_here(const struct stat& file) {
    std::error_code fault;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", fault)) {
        struct stat open {};
        if (::stat(entry.path().c_str(), &open) == 0 && open.st_dev == file.st_dev &&
            open.st_ino == file.st_ino)
            return true;
    }
    return false;
}

bool is_regular(const std::string& path, struct stat& file) {
    return ::stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode);
}

} // namespace

Status check_unlocked(const std::string& path) {
    struct stat file {};
    if (!is_regular(path, file))
        return {};
    const auto fd = open_file(path, O_RDONLY | O_NONBLOCK);
    if (fd.ok() && is_locked(fd.value()))
        return invalid_input("'{}' is in use: a process holds a lock on it", path);
    return {};
}

Status check_unused(const std::string& path) {
    TRY(check_unlocked(path));
    struct stat file {};
    if (is_regular(path, file) && is_open_here(file))
        return invalid_input("'{}' is open in this process, as a disk or a log", path);
    return {};
}

} // namespace godwit
