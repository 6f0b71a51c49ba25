// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/output_file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit {

namespace {

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

} // namespace

Result<OutputFile> OutputFile::create(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        return open_special(path);
    std::string partial = path + ".partial";
    Fd fd = TRY(open_file(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    return OutputFile{path, std::move(partial), std::move(fd)};
}

Result<OutputFile> OutputFile::open_special(const std::string& path) {
    // A FIFO that nobody reads is an error, not a wait without end; once it is open, writes may wait.
    Fd fd = TRY(open_file(path, O_WRONLY | O_NONBLOCK));
    if (::fcntl(fd.get(), F_SETFL, 0) != 0)
        return system_error(errno, fmt::format("make '{}' blocking", path));
    return OutputFile{path, {}, std::move(fd)};
}

OutputFile::~OutputFile() {
    if (!partial_.empty())
        ::unlink(partial_.c_str());
}

Status OutputFile::finish() {
    if (partial_.empty())
        return {};
    if (::fsync(fd_.get()) != 0)
        return system_error(errno, fmt::format("sync '{}'", partial_));
    if (std::rename(partial_.c_str(), path_.c_str()) != 0)
        return system_error(errno, fmt::format("rename '{}' to '{}'", partial_, path_));
    partial_.clear();
    const Fd folder = TRY(open_file(folder_of(path_), O_RDONLY | O_DIRECTORY));
    if (::fsync(folder.get()) != 0)
        return system_error(errno, fmt::format("sync the folder of '{}'", path_));
    return {};
}

} // namespace godwit
