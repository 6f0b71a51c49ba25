// SPDX-License-Identifier: Apache-2.0
//
// Unix stream sockets by path: the control socket, consoles, migrations, and streams that are saved to and
// restored from one. Any thread; a listener is owned by one.
#pragma once

#include "vmm/base/fd.h"

#include <string>
#include <sys/types.h>

namespace godwit {

// A listening socket and its file, which goes with it.
class UnixListener {
  public:
    // Non-blocking, with access for the owner only. A socket that nobody serves any more (its kernel refuses
    // connections) is replaced; anything else at that path stays and is an error that names it.
    static Result<UnixListener> open(const std::string& path, int backlog);
    UnixListener() = default;
    UnixListener(UnixListener&&) noexcept = default;
    UnixListener& operator=(UnixListener&& other) noexcept;
    // Removes the file, if it is still the one that open() made: a successor may have put its own there.
    ~UnixListener();

    const Fd& fd() const { return fd_; }
    int get() const { return fd_.get(); }
    explicit operator bool() const { return static_cast<bool>(fd_); }

  private:
    UnixListener(Fd fd, std::string path, dev_t device, ino_t inode)
        : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}

    Fd fd_;
    std::string path_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

// Blocking connection.
Result<Fd> connect_unix(const std::string& path);

} // namespace godwit
