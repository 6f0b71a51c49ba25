// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/fd.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace godwit {

void Fd::reset() {
    if (raw_ >= 0)
        ::close(std::exchange(raw_, -1));
}

Result<Fd> Fd::duplicate() const {
    const int copy = ::fcntl(raw_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return system_error(errno, "duplicate a file descriptor");
    return Fd::adopt(copy);
}

Result<Fd> open_file(const std::string& path, int flags, unsigned mode, ErrorCode code) {
    const int raw = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (raw < 0)
        return Error{code, system_error(errno, fmt::format("open '{}'", path)).text};
    return Fd::adopt(raw);
}

Result<EventFd> EventFd::create() {
    const int raw = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (raw < 0)
        return system_error(errno, "create an eventfd");
    return EventFd{Fd::adopt(raw)};
}

void EventFd::signal() const {
    const std::uint64_t one = 1;
    // EAGAIN means that the counter is at its maximum: the reader will wake anyway.
    [[maybe_unused]] const auto written = ::write(fd_.get(), &one, sizeof one);
}

bool EventFd::consume() const {
    std::uint64_t count = 0;
    return ::read(fd_.get(), &count, sizeof count) == sizeof count;
}

} // namespace godwit
