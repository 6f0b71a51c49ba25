// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/sink.h"

#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace godwit::migration::wire {

namespace {

constexpr std::size_t kGatherBytes = std::size_t{256} << 10;

} // namespace

Status FdSink::write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        if (wait_)
            TRY(wait_(fd_, POLLOUT));
        const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
        if (count < 0 && (errno == EINTR || (errno == EAGAIN && wait_)))
            continue;
        if (count < 0)
            return system_error(errno, "write the stream");
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

Status FdSink::write(std::span<const std::byte> bytes) {
    if (pending_.size() + bytes.size() > kGatherBytes)
        TRY(flush());
    if (bytes.size() >= kGatherBytes)
        return write_all(bytes);
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    return {};
}

Status FdSink::flush() {
    TRY(write_all(pending_));
    pending_.clear();
    return {};
}

} // namespace godwit::migration::wire
