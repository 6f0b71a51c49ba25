// SPDX-License-Identifier: Apache-2.0
#include "devices/console/socket_console.h"

#include <poll.h>
#include <sys/socket.h>

namespace godwit {

namespace {
constexpr int kBacklog = 4;
} // namespace

SocketConsole::SocketConsole(Loop& loop, const std::string& path, Limits limits)
    : StreamConsole(loop, fmt::format("socket {}", path), limits), path_(path) {}

Result<std::unique_ptr<SocketConsole>> SocketConsole::create(Loop& loop, const std::string& path,
                                                             Limits limits) {
    auto console = std::make_unique<SocketConsole>(loop, path, limits);
    TRY_IN(console->listen(), "console");
    return console;
}

Status SocketConsole::listen() {
    listener_ = std::make_shared<const UnixListener>(TRY(UnixListener::open(path_, kBacklog)));
    listener_watch_ = TRY(loop_.watch(listener_->get(), POLLIN, [this](std::uint32_t) { accept_client(); }));
    return {};
}

void SocketConsole::accept_client() {
    if (attached() && !hung_up())
        return; // peer_gone() looks again
    Fd client = Fd::adopt(::accept4(listener_->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
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
