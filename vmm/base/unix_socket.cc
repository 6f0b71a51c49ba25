// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/unix_socket.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace godwit {

namespace {

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return invalid_input("socket path '{}' has {} bytes; 1 to {} are possible", path, path.size(),
                             sizeof address.sun_path - 1);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

Result<Fd> stream_socket(int flags) {
    const int raw = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (raw < 0)
        return system_error(errno, "create a unix socket");
    return Fd::adopt(raw);
}

// Nothing when the path is free; what is there and may not be replaced.
Status make_room(const std::string& path, const sockaddr_un& address) {
    struct stat existing {};
    if (::lstat(path.c_str(), &existing) != 0) {
        if (errno == ENOENT)
            return {};
        return system_error(errno, fmt::format("look at '{}'", path));
    }
    if (!S_ISSOCK(existing.st_mode))
        return invalid_input("'{}' exists and is not a socket", path);
    const Fd probe = TRY(stream_socket(SOCK_NONBLOCK));
    const int connected = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    // A full backlog (EAGAIN) is somebody's too, and so is a socket of another type (EPROTOTYPE).
    if (connected == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return invalid_input("socket '{}' is in use by another process", path);
    if (errno != ECONNREFUSED)
        return system_error(errno, fmt::format("find out who serves the socket '{}'", path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return system_error(errno, fmt::format("remove the socket '{}', which nobody serves", path));
    return {};
}

} // namespace

Result<Fd> connect_unix(const std::string& path) {
    const sockaddr_un address = TRY(unix_address(path));
    Fd fd = TRY(stream_socket(0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return system_error(errno, fmt::format("connect to '{}'", path));
    return fd;
}

Result<UnixListener> UnixListener::open(const std::string& path, int backlog) {
    const sockaddr_un address = TRY(unix_address(path));
    TRY(make_room(path, address));
    Fd fd = TRY(stream_socket(SOCK_NONBLOCK));
    struct stat made {};
    // The mode of the socket becomes that of the file: never open to others, not even for a moment.
    if (::fchmod(fd.get(), 0600) != 0 ||
        ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::lstat(path.c_str(), &made) != 0 || ::listen(fd.get(), backlog) != 0)
        return Error{ErrorCode::InvalidInput, system_error(errno, fmt::format("listen on '{}'", path)).text};
    return UnixListener{std::move(fd), path, made.st_dev, made.st_ino};
}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
}

UnixListener::~UnixListener() {
    // While this one still listens nobody takes its file for a stale one, and no other file has its inode.
    struct stat now {};
    if (fd_ && ::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_)
        ::unlink(path_.c_str());
}

} // namespace godwit
