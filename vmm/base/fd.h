// SPDX-License-Identifier: Apache-2.0
//
// Owning file descriptor. A raw int never crosses a function border except into a system call.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <string>
#include <utility>

namespace godwit {

class Fd {
  public:
    Fd() = default;
    static Fd adopt(int raw) { return Fd{raw}; }
    Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~Fd() { reset(); }

    int get() const { return raw_; }
    explicit operator bool() const { return raw_ >= 0; }
    int release() { return std::exchange(raw_, -1); }
    void reset();
    Result<Fd> duplicate() const;

  private:
    explicit Fd(int raw) : raw_(raw) {}
    int raw_ = -1;
};

// open(2) with O_CLOEXEC; the error names the path. `code` is what a failure means to the caller's user.
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0,
                     ErrorCode code = ErrorCode::System);

// An eventfd used as a doorbell or an interrupt: non-blocking, close-on-exec.
class EventFd {
  public:
    static Result<EventFd> create();
    int fd() const { return fd_.get(); }
    void signal() const;
    // Takes the counter; false when it was zero.
    bool consume() const;

  private:
    explicit EventFd(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

} // namespace godwit
