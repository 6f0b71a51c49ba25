// SPDX-License-Identifier: Apache-2.0
//
// A channel over a connected stream socket: TCP or unix. Owned by one thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/channel.h"
#include "vmm/base/fd.h"

#include <vector>

namespace godwit::migration {

class SocketChannel : public Channel {
  public:
    // Takes the descriptor of an fd: address. `timeout` bounds the attempt.
    static Result<std::unique_ptr<Channel>> connect(const Address& address, std::chrono::milliseconds timeout,
                                                    const Cancel* cancel);
    // A connected stream socket; anything else is refused. `peer` is for error texts.
    static Result<std::unique_ptr<Channel>> adopt(Fd socket, std::string peer);

    Status write(std::span<const iovec> parts) override;
    Status read(std::span<const iovec> parts) override;
    using Channel::read;
    Result<std::size_t> read_some(std::span<std::byte> out) override;
    Result<bool> readable(std::chrono::milliseconds wait) override;
    void finish_writing() override;
    void close() override;
    const std::string& peer() const override { return peer_; }
    std::chrono::microseconds round_trip() const override;

  private:
    SocketChannel(Fd socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {}
    enum class Direction { In, Out };
    Status transfer(std::span<const iovec> parts, Direction direction);
    // One system call that moved at least one byte, or 0 at the end of the stream. A read waits until about
    // as many bytes are there as `wanted`.
    Result<std::size_t> move_some(std::span<iovec> parts, Direction direction, std::size_t wanted);
    Status wait(Direction direction, std::size_t wanted);
    void wake_at(std::size_t bytes);
    Error gone(std::string_view how) const;

    Fd socket_;
    std::string peer_;
    std::vector<iovec> left_; // the parts of a transfer that are not done
    int wake_at_ = 1;         // so many bytes make the socket readable
};

// Waits until `fd` is ready for `events` (poll(2)); false after `timeout`, Cancelled on a request.
Result<bool> wait_ready(const Fd& fd, short events, std::chrono::milliseconds timeout, const Cancel* cancel);

} // namespace godwit::migration
