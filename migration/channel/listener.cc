// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/listener.h"

#include "migration/channel/socket_channel.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>
#include <unistd.h>

namespace godwit::migration {

namespace {

// Several connections of one migration come at once.
constexpr int kBacklog = 64;

std::string peer_text(const sockaddr_storage& peer, socklen_t length, const Address& local) {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if ((peer.ss_family != AF_INET && peer.ss_family != AF_INET6) ||
        ::getnameinfo(reinterpret_cast<const sockaddr*>(&peer), length, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return fmt::format("the peer at {}", local.text());
    return peer.ss_family == AF_INET6 ? fmt::format("tcp:[{}]:{}", host, port)
                                      : fmt::format("tcp:{}:{}", host, port);
}

bool is_loopback(const sockaddr_storage& name) {
    constexpr std::uint32_t kLoopbackNet = 127;
    if (name.ss_family == AF_INET)
        return ntohl(reinterpret_cast<const sockaddr_in&>(name).sin_addr.s_addr) >> 24 == kLoopbackNet;
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(name).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&address) ||
           (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == kLoopbackNet);
}

} // namespace

Result<Listener> Listener::open(const Address& address) {
    switch (address.kind) {
    case Address::Kind::Tcp:
        return open_tcp(address);
    case Address::Kind::Unix:
        return open_unix(address);
    case Address::Kind::Fd:
        return open_fd(address);
    }
    return invalid_input("listen on {}: unknown kind of address", address.text());
}

Result<Listener> Listener::open_tcp(Address address) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    const char* const host = address.host.empty() ? nullptr : address.host.c_str();
    if (const int failure = ::getaddrinfo(host, std::to_string(address.port).c_str(), &hints, &found);
        failure != 0)
        return invalid_input("look up '{}': {}", address.host, ::gai_strerror(failure));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner{found, &::freeaddrinfo};
    Error last = invalid_input("listen on {}: no address", address.text());
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        Fd socket = Fd::adopt(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int on = 1;
        const int off = 0;
        if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
            // [::] takes IPv4 connections too, as the empty host does.
            (one->ai_family == AF_INET6 &&
             ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
            ::bind(socket.get(), one->ai_addr, one->ai_addrlen) != 0 ||
            ::listen(socket.get(), kBacklog) != 0) {
            last = system_error(errno, fmt::format("listen on {}", address.text()));
            continue;
        }
        sockaddr_storage name{};
        socklen_t length = sizeof name;
        if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0)
            return system_error(errno, fmt::format("listen on {}", address.text()));
        address.port = ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(name).sin6_port
                                                        : reinterpret_cast<sockaddr_in&>(name).sin_port);
        Listener listener{std::move(socket), std::move(address)};
        listener.outside_ = !is_loopback(name);
        return listener;
    }
    return last;
}

Result<Listener> Listener::open_unix(Address address) {
    UnixListener socket = TRY(UnixListener::open(address.path, kBacklog));
    Listener listener{TRY(socket.fd().duplicate()), std::move(address)};
    listener.file_ = std::move(socket);
    return listener;
}

namespace {

// sd_listen_fds_with_names(3): from 3 on, in the order of their names.
Result<int> service_descriptor(const Address& address) {
    constexpr int kFirst = 3;
    const char* const pid = std::getenv("LISTEN_PID");
    const char* const names = std::getenv("LISTEN_FDNAMES");
    if (pid == nullptr || names == nullptr || std::to_string(::getpid()) != pid)
        return invalid_input("listen on {}: no service manager has given this process named sockets",
                             address.text());
    std::istringstream all{names};
    std::string name;
    for (int fd = kFirst; std::getline(all, name, ':'); ++fd)
        if (name == address.name)
            return fd;
    return invalid_input("listen on {}: the service manager's sockets are '{}'", address.text(), names);
}

} // namespace

Result<Listener> Listener::open_fd(Address address) {
    const bool named = !address.name.empty();
    if (named)
        address.fd = TRY(service_descriptor(address));
    // What this process has opened itself would not survive another exec().
    const int flags = ::fcntl(address.fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0)
        return invalid_input("listen on {}: descriptor {} was not inherited", address.text(), address.fd);
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(address.fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0)
        return invalid_input("listen on {}: {}", address.text(), system_error(errno, "getsockopt").text);
    (void)::fcntl(address.fd, F_SETFD, FD_CLOEXEC);
    Listener listener{Fd::adopt(address.fd), std::move(address)};
    listener.connected_ = listening == 0;
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    if (listening != 0 &&
        ::getsockname(listener.socket_.get(), reinterpret_cast<sockaddr*>(&name), &length) == 0)
        listener.outside_ = (name.ss_family == AF_INET || name.ss_family == AF_INET6) && !is_loopback(name);
    return listener;
}

Result<bool> Listener::wait(std::chrono::milliseconds timeout, const Cancel* cancel) {
    if (connected_)
        return true;
    return wait_ready(socket_, POLLIN, timeout, cancel);
}

Result<std::unique_ptr<Channel>> Listener::accept(std::chrono::milliseconds timeout, const Cancel* cancel) {
    if (!socket_)
        return error(ErrorCode::Disconnected, "{} was one connection, which is used up", address_.text());
    if (connected_)
        return SocketChannel::adopt(std::move(socket_), address_.text());
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (!TRY(wait_ready(socket_, POLLIN, std::max(left, std::chrono::milliseconds{0}), cancel)))
            return error(ErrorCode::Disconnected, "nobody connected to {} within {} ms", address_.text(),
                         timeout.count());
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        const int raw = ::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC);
        if (raw >= 0)
            return SocketChannel::adopt(Fd::adopt(raw), peer_text(peer, length, address_));
        // The connection may be gone again; a listening socket that was handed over may block.
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            return system_error(errno, fmt::format("accept on {}", address_.text()));
    }
}

} // namespace godwit::migration
