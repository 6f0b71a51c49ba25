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

} // namespace

Result<Fd> connect_unix(const std::string& path) {
    const sockaddr_un address = TRY(unix_address(path));
    Fd fd = TRY(stream_socket(0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return system_error(errno, fmt::format("connect to '{}'", path));
    return fd;
}

Result<Fd> listen_unix(const std::string& path) {
    const sockaddr_un address = TRY(unix_address(path));
    if (connect_unix(path).ok())
        return invalid_input("socket '{}' is in use by another process", path);
    struct stat existing {};
    if (::lstat(path.c_str(), &existing) == 0) {
        if (!S_ISSOCK(existing.st_mode))
            return invalid_input("'{}' exists and is not a socket", path);
        ::unlink(path.c_str());
    }
    Fd fd = TRY(stream_socket(SOCK_NONBLOCK));
    const mode_t before = ::umask(0177);
    const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int bind_error = errno;
    ::umask(before);
    if (bound != 0)
        return system_error(bind_error, fmt::format("bind '{}'", path));
    if (::listen(fd.get(), 8) != 0)
        return system_error(errno, fmt::format("listen on '{}'", path));
    return fd;
}

} // namespace godwit
