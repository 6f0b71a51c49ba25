// SPDX-License-Identifier: Apache-2.0
#include "devices/console/socket_console.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace godwit {

namespace {

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return invalid_input("the socket's path '{}' has {} bytes, at most {} can be", path, path.size(),
                             sizeof address.sun_path - 1);
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

// Removes a socket that a dead process left behind.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0)
        return {};
    if (!S_ISSOCK(status.st_mode))
        return invalid_input("'{}' exists and is not a socket", path);
    const Fd probe = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno != ECONNREFUSED)
        return error(ErrorCode::NoDevice, "'{}' is in use by another process", path);
    if (::unlink(path.c_str()) != 0)
        return system_error(errno, fmt::format("remove the stale socket '{}'", path));
    return {};
}

} // namespace

SocketConsole::SocketConsole(Loop& loop, const std::string& path, Limits limits)
    : StreamConsole(loop, fmt::format("socket {}", path), limits), path_(path) {}

Result<std::unique_ptr<SocketConsole>> SocketConsole::create(Loop& loop, const std::string& path,
                                                             Limits limits) {
    auto console = std::make_unique<SocketConsole>(loop, path, limits);
    TRY_IN(console->listen(), "console");
    return console;
}

SocketConsole::~SocketConsole() {
    struct stat status {};
    if (listener_ && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_)
        ::unlink(path_.c_str());
}

Status SocketConsole::listen() {
    const auto address = TRY(address_of(path_));
    TRY(remove_stale(path_, address));
    Fd listener = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    struct stat status {};
    // The mode of the socket becomes that of the file: never open to others, not even for a moment.
    if (!listener || ::fchmod(listener.get(), 0600) != 0 ||
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 4) != 0 || ::lstat(path_.c_str(), &status) != 0)
        return system_error(errno, fmt::format("listen on '{}'", path_));
    device_ = status.st_dev;
    inode_ = status.st_ino;
    listener_ = std::move(listener);
    listener_watch_ = TRY(loop_.watch(listener_.get(), POLLIN, [this](std::uint32_t) { accept_client(); }));
    return {};
}

void SocketConsole::accept_client() {
    if (attached() && !hung_up())
        return; // peer_gone() looks again
    Fd client = Fd::adopt(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client)
        return;
    // The former client is dead, and the guest did not read what it left.
    if (attached())
        detach();
    auto output = client.duplicate();
    const Status attached_now =
        output.ok() ? attach(std::move(client), std::move(output).value()) : Status{output.error()};
    if (!attached_now.ok())
        log::warning("{}: {}", describe(), attached_now.error().text);
}

void SocketConsole::peer_gone() {
    if (attached() && hung_up())
        detach();
    accept_client();
}

} // namespace godwit
