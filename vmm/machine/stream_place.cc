// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stream_place.h"

#include "vmm/base/log.h"
#include "vmm/base/unix_socket.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::chrono::milliseconds kForEver{-1};

bool is_socket(const std::string& place) {
    return place.starts_with(kUnixPrefix);
}

std::string socket_path(const std::string& place) {
    return place.substr(kUnixPrefix.size());
}

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Status set_blocking(const Fd& fd, bool blocking, const std::string& path) {
    const int flags = ::fcntl(fd.get(), F_GETFL);
    if (flags < 0 || ::fcntl(fd.get(), F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) != 0)
        return system_error(errno, fmt::format("set how '{}' waits", path));
    return {};
}

migration::wire::WaitFor patient(const migration::Cancel& cancel, std::chrono::milliseconds patience) {
    return [&cancel, patience](const Fd& fd, short events) -> Status {
        pollfd waits[] = {{fd.get(), events, 0}, {cancel.fd(), POLLIN, 0}};
        const int ready = ::poll(waits, std::size(waits), static_cast<int>(patience.count()));
        if (cancel.requested())
            return cancel.error();
        if (ready < 0 && errno != EINTR)
            return system_error(errno, "wait for the stream");
        if (ready == 0)
            return error(ErrorCode::Disconnected, "nothing was read from it for {} ms", patience.count());
        return {};
    };
}

Result<Fd> accept_one(const std::string& path, const migration::Cancel& cancel) {
    const UnixListener listener = TRY(UnixListener::open(path, 1));
    log::info("waiting for a stream on '{}{}'", kUnixPrefix, path);
    const auto wait = patient(cancel, kForEver);
    int raw = -1;
    Status waited;
    while (raw < 0 && (waited = wait(listener.fd(), POLLIN)).ok())
        raw = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    TRY(std::move(waited));
    return Fd::adopt(raw);
}

} // namespace

Result<StreamOutput> StreamOutput::create(const std::string& place) {
    if (is_socket(place))
        return open_socket(socket_path(place));
    struct stat status {};
    if (::stat(place.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        return open_special(place);
    std::string partial = place + ".partial";
    Fd fd = TRY(open_file(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    return StreamOutput{place, std::move(partial), std::move(fd)};
}

Result<StreamOutput> StreamOutput::open_special(const std::string& path) {
    // A FIFO that nobody reads is an error at once.
    return StreamOutput{path, {}, TRY(open_file(path, O_WRONLY | O_NONBLOCK))};
}

Result<StreamOutput> StreamOutput::open_socket(const std::string& path) {
    Fd fd = TRY(connect_unix(path));
    TRY(set_blocking(fd, false, path));
    return StreamOutput{path, {}, std::move(fd)};
}

StreamOutput::~StreamOutput() {
    if (!partial_.empty())
        ::unlink(partial_.c_str());
}

Result<migration::wire::FdSink> StreamOutput::sink(const migration::Cancel& cancel,
                                                   std::chrono::milliseconds patience) const {
    return migration::wire::FdSink{TRY(fd_.duplicate()), patient(cancel, patience)};
}

Status StreamOutput::finish() {
    if (partial_.empty())
        return {};
    if (::fsync(fd_.get()) != 0)
        return system_error(errno, fmt::format("sync '{}'", partial_));
    if (std::rename(partial_.c_str(), path_.c_str()) != 0)
        return system_error(errno, fmt::format("rename '{}' to '{}'", partial_, path_));
    partial_.clear();
    const Fd folder = TRY(open_file(folder_of(path_), O_RDONLY | O_DIRECTORY));
    if (::fsync(folder.get()) != 0)
        return system_error(errno, fmt::format("sync the folder of '{}'", path_));
    return {};
}

Result<StreamInput> StreamInput::open(const std::string& place, const migration::Cancel& cancel) {
    auto wait = patient(cancel, kForEver);
    if (is_socket(place))
        return StreamInput{TRY(accept_one(socket_path(place), cancel)), std::move(wait), false};
    // Opened so, a FIFO does not wait for its writer here but in poll().
    Fd fd = TRY(open_file(place, O_RDONLY | O_NONBLOCK, 0, ErrorCode::InvalidInput));
    struct stat status {};
    const bool regular = ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode);
    return StreamInput{std::move(fd), std::move(wait), regular};
}

} // namespace godwit
