// SPDX-License-Identifier: Apache-2.0
//
// The console on a listening Unix socket, for its owner only (mode 0600). One client at a time: others wait
// in the backlog until it goes. While nobody is connected the newest output is kept for the next client.
#pragma once

#include "devices/console/stream_console.h"
#include "vmm/base/unix_socket.h"

namespace godwit {

class SocketConsole final : public StreamConsole {
  public:
    // Takes over a socket file that nobody listens on; refuses one that is in use, and any other file.
    static Result<std::unique_ptr<SocketConsole>> create(Loop& loop, const std::string& path,
                                                         Limits limits = {});
    SocketConsole(Loop& loop, const std::string& path, Limits limits);

    std::shared_ptr<const UnixListener> listener() const override { return listener_; }

  private:
    Status listen();
    void accept_client();
    bool keeps_output() const override { return true; }
    void peer_gone() override;

    const std::string path_;
    std::shared_ptr<const UnixListener> listener_;
    std::unique_ptr<Watch> listener_watch_;
};

} // namespace godwit
