// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/socket_channel.h"

#include "migration/channel/resolve.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <linux/tcp.h> // tcp_info with the least round trip
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>

namespace godwit::migration {

namespace {

constexpr int kSocketBufferBytes = 4 << 20;
constexpr std::size_t kMaxParts = 1024; // IOV_MAX
constexpr std::size_t kMostWakeBytes = std::size_t{512} << 10;

using Clock = std::chrono::steady_clock;

bool peer_is_gone(int errno_value) {
    return errno_value == EPIPE || errno_value == ECONNRESET || errno_value == ENOTCONN ||
           errno_value == ETIMEDOUT || errno_value == EHOSTUNREACH || errno_value == ENETUNREACH;
}

// The connection works without any of these.
void tune(const Fd& socket) {
    const int on = 1;
    const bool tcp = ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    if (tcp) {
        (void)::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        return; // TCP sizes its buffers itself, better than a fixed size would
    }
    for (const int which : {SO_SNDBUF, SO_RCVBUF})
        (void)::setsockopt(socket.get(), SOL_SOCKET, which, &kSocketBufferBytes, sizeof kSocketBufferBytes);
}

Result<Fd> connect_socket(int family, const sockaddr* address, socklen_t length, const Address& where,
                          std::chrono::milliseconds timeout, const Cancel* cancel) {
    Fd socket = Fd::adopt(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return system_error(errno, "create a socket");
    if (::connect(socket.get(), address, length) == 0)
        return socket;
    if (errno != EINPROGRESS)
        return Error{ErrorCode::Disconnected,
                     system_error(errno, fmt::format("connect to {}", where.text())).text};
    if (!TRY_IN(wait_ready(socket, POLLOUT, timeout, cancel), fmt::format("connect to {}", where.text())))
        return error(ErrorCode::Disconnected, "connect to {}: no answer within {} ms", where.text(),
                     timeout.count());
    int failure = 0;
    socklen_t size = sizeof failure;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0)
        return Error{
            ErrorCode::Disconnected,
            system_error(failure != 0 ? failure : errno, fmt::format("connect to {}", where.text())).text};
    return socket;
}

Result<Fd> connect_tcp(const Address& address, std::chrono::milliseconds timeout, const Cancel* cancel) {
    const AddressList found = TRY(look_up(address, timeout, cancel));
    Error last = error(ErrorCode::Disconnected, "look up '{}': no address", address.host);
    for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
        auto socket = connect_socket(one->ai_family, one->ai_addr, one->ai_addrlen, address, timeout, cancel);
        if (socket.ok() || socket.error().code == ErrorCode::Cancelled)
            return socket;
        last = std::move(socket).error();
    }
    return last;
}

Result<Fd> connect_unix(const Address& address, std::chrono::milliseconds timeout, const Cancel* cancel) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::ranges::copy(address.path, name.sun_path); // its length was checked when the address was parsed
    return connect_socket(AF_UNIX, reinterpret_cast<const sockaddr*>(&name), sizeof name, address, timeout,
                          cancel);
}

} // namespace

Result<bool> wait_ready(const Fd& fd, short events, std::chrono::milliseconds timeout, const Cancel* cancel) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        if (cancel != nullptr && cancel->requested())
            return cancel->error();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        const Cancel* const parent = cancel != nullptr ? cancel->parent() : nullptr;
        pollfd waited[] = {{fd.get(), events, 0},
                           {cancel != nullptr ? cancel->fd() : -1, POLLIN, 0},
                           {parent != nullptr ? parent->fd() : -1, POLLIN, 0}};
        const auto bounded = std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, 60'000);
        const int ready = ::poll(waited, std::size(waited), static_cast<int>(bounded));
        if (ready < 0 && errno != EINTR)
            return system_error(errno, "poll");
        if (ready > 0 && waited[0].revents != 0)
            return true;
        if (ready == 0 && Clock::now() >= deadline)
            return false;
    }
}

Result<std::unique_ptr<Channel>>
SocketChannel::connect(const Address& address, std::chrono::milliseconds timeout, const Cancel* cancel) {
    Fd socket;
    switch (address.kind) {
    case Address::Kind::Tcp:
        socket = TRY(connect_tcp(address, timeout, cancel));
        break;
    case Address::Kind::Unix:
        socket = TRY(connect_unix(address, timeout, cancel));
        break;
    case Address::Kind::Fd:
        if (address.handed == nullptr)
            return invalid_input("{}: no connection was handed over", address.text());
        if (!*address.handed)
            return error(ErrorCode::Disconnected, "{} was one connection, which is used up", address.text());
        socket = std::move(*address.handed);
        break;
    }
    return adopt(std::move(socket), address.text());
}

Result<std::unique_ptr<Channel>> SocketChannel::adopt(Fd socket, std::string peer) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return invalid_input("{}: not a socket: {}", peer, system_error(errno, "getsockopt").text);
    if (type != SOCK_STREAM)
        return invalid_input("{}: not a stream socket", peer);
    tune(socket);
    return std::unique_ptr<Channel>{new SocketChannel{std::move(socket), std::move(peer)}};
}

Error SocketChannel::gone(std::string_view how) const {
    return error(ErrorCode::Disconnected, "{} {}", peer_, how);
}

std::chrono::microseconds SocketChannel::round_trip() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    // What was measured lately may be the length of a queue; the least was the way itself.
    const bool known = ::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                       size >= offsetof(tcp_info, tcpi_min_rtt) + sizeof info.tcpi_min_rtt &&
                       info.tcpi_min_rtt != ~std::uint32_t{0};
    return std::chrono::microseconds{known ? info.tcpi_min_rtt : 0};
}

Status SocketChannel::write(std::span<const iovec> parts) {
    return transfer(parts, Direction::Out);
}

Status SocketChannel::read(std::span<const iovec> parts) {
    return transfer(parts, Direction::In);
}

Result<std::size_t> SocketChannel::read_some(std::span<std::byte> out) {
    iovec part{out.data(), out.size()};
    return move_some(std::span{&part, 1}, Direction::In, 1);
}

Result<std::size_t> SocketChannel::move_some(std::span<iovec> parts, Direction direction,
                                             std::size_t wanted) {
    const bool out = direction == Direction::Out;
    for (;;) {
        if (cancel_ != nullptr && cancel_->requested())
            return cancel_->error();
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = std::min(parts.size(), kMaxParts);
        // The descriptor may be shared with whoever gave it to us: its flags stay as they are.
        const ssize_t count = out ? ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                                  : ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
        if (count >= 0) {
            (out ? bytes_written_ : bytes_read_) += static_cast<std::uint64_t>(count);
            return static_cast<std::size_t>(count);
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            TRY(wait(direction, wanted));
        else if (peer_is_gone(errno))
            return gone(fmt::format("is gone: {}", std::generic_category().message(errno)));
        else if (errno != EINTR)
            return system_error(errno, fmt::format("{} {}", out ? "send to" : "receive from", peer_));
    }
}

Status SocketChannel::transfer(std::span<const iovec> parts, Direction direction) {
    left_.assign(parts.begin(), parts.end());
    std::size_t first = 0;
    std::size_t bytes = 0;
    for (const iovec& part : parts)
        bytes += part.iov_len;
    for (;;) {
        while (first < left_.size() && left_[first].iov_len == 0)
            ++first;
        if (first == left_.size())
            return {};
        std::size_t done = TRY(move_some(std::span{left_}.subspan(first), direction, bytes));
        if (done == 0 && direction == Direction::In)
            return gone("closed the connection");
        bytes -= done;
        while (done != 0) {
            iovec& part = left_[first];
            const std::size_t taken = std::min(done, part.iov_len);
            part.iov_base = static_cast<std::byte*>(part.iov_base) + taken;
            part.iov_len -= taken;
            done -= taken;
            if (part.iov_len == 0)
                ++first;
        }
    }
}

// Who reads much is not woken for each packet: every time costs the sender and the receiver CPU time.
void SocketChannel::wake_at(std::size_t bytes) {
    const int wanted = static_cast<int>(std::clamp<std::size_t>(bytes, 1, kMostWakeBytes));
    if (wanted != std::exchange(wake_at_, wanted))
        (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
}

Status SocketChannel::wait(Direction direction, std::size_t wanted) {
    const bool in = direction == Direction::In;
    if (in)
        wake_at(wanted);
    if (TRY(wait_ready(socket_, in ? POLLIN : POLLOUT, timeout_, cancel_)))
        return {};
    // A slow peer may have sent something, if less than that.
    if (in && wake_at_ > 1 && TRY(readable(std::chrono::milliseconds{0})))
        return {};
    return gone(fmt::format("made no progress for {} ms", timeout_.count()));
}

Result<bool> SocketChannel::readable(std::chrono::milliseconds wait) {
    wake_at(1);
    return wait_ready(socket_, POLLIN, wait, cancel_);
}

void SocketChannel::finish_writing() {
    (void)::shutdown(socket_.get(), SHUT_WR);
}

void SocketChannel::close() {
    // Also wakes whoever else holds the socket.
    (void)::shutdown(socket_.get(), SHUT_RDWR);
}

} // namespace godwit::migration
