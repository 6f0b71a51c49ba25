// SPDX-License-Identifier: Apache-2.0
//
// What stands behind a serial port: a terminal, a file, a pty, a socket, or nothing. Bytes both ways, never
// blocking, never growing without a bound. make_console.h makes one.
//
// Input is pulled: a byte is taken from the operating system only when the guest's FIFO has room for it, so
// none sits here when the guest moves away.
#pragma once

#include "vmm/base/result.h"
#include "vmm/base/unix_socket.h"

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace godwit {

class Console {
  public:
    // Called on the loop's thread, with no lock of the console held.
    class User {
      public:
        virtual void input_ready() = 0;  // read() may give something
        virtual void output_ready() = 0; // write() takes bytes again

      protected:
        ~User() = default;
    };

    virtual ~Console() = default;
    // For people: "pty /dev/pts/7".
    virtual std::string describe() const = 0;
    // The socket that it listens on, if it does. Its file goes with whoever lets go of it last, who must be
    // allowed to remove it: not the loop's thread (vmm/sandbox).
    virtual std::shared_ptr<const UnixListener> listener() const { return nullptr; }
    // Loop thread, or while no loop runs. At most one user; null ends it, and no callback comes afterwards.
    virtual void connect(User* user) = 0;

    // Any thread. How many bytes were taken. When fewer than given, output_ready() follows once there is
    // room, or once the console has given up waiting for a reader that takes nothing.
    virtual std::size_t write(std::span<const std::byte> bytes) = 0;
    // Loop thread. Zero when there is nothing now; input_ready() follows when there is.
    virtual std::size_t read(std::span<std::byte> room) = 0;
    // Any thread: calls input_ready() soon, because the user did not read all and has room again.
    virtual void want_input() = 0;

    // Any thread. Waits until what was taken has left this process. Nobody being there to read is no error;
    // an error says how many bytes are still held (they stay held).
    virtual Status flush(std::chrono::milliseconds limit) = 0;
};

} // namespace godwit
