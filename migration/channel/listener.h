// SPDX-License-Identifier: Apache-2.0
//
// Waits for the migration source to connect. One thread.
#pragma once

#include "migration/channel/address.h"
#include "migration/channel/channel.h"
#include "vmm/base/unix_socket.h"

namespace godwit::migration {

class Listener {
  public:
    // fd: may be a listening socket or one that is connected already.
    static Result<Listener> open(const Address& address);
    Listener(Listener&&) noexcept = default;
    Listener& operator=(Listener&&) = delete;
    ~Listener() = default;

    // With the port that the kernel chose when 0 was asked for.
    const Address& address() const { return address_; }
    // True when accept() would find a connection; false after `timeout`.
    Result<bool> wait(std::chrono::milliseconds timeout, const Cancel* cancel);
    // The descriptor that was given was the connection itself, and accept() has given it away.
    bool used_up() const { return !socket_; }
    // Whether other hosts can connect: a TCP address that is not loopback's.
    bool reachable_from_outside() const { return outside_; }
    // One connection. After `timeout` the error is Disconnected.
    Result<std::unique_ptr<Channel>> accept(std::chrono::milliseconds timeout, const Cancel* cancel);

  private:
    Listener(Fd socket, Address address) : socket_(std::move(socket)), address_(std::move(address)) {}
    static Result<Listener> open_tcp(Address address);
    static Result<Listener> open_unix(Address address);
    static Result<Listener> open_fd(Address address);

    Fd socket_;
    UnixListener file_; // Unix: the socket's file
    Address address_;
    bool outside_ = false;
    bool connected_ = false; // the descriptor that was given is the connection itself
};

} // namespace godwit::migration
