// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stream_place.h"

#include "vmm/base/in_use.h"
#include "vmm/base/log.h"
#include "vmm/base/unix_socket.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
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

// /proc/PID/fd/N and the like: not links as others are, but doors to what a process has open.
bool is_of_a_process(const std::string& path) {
    std::error_code fault;
    return std::filesystem::canonical(folder_of(path), fault).native().starts_with("/proc/");
}

// Where symbolic links lead, whether or not something is there.
Result<std::string> target_of(const std::string& path) {
    constexpr int kMostLinks = 40; // as the kernel has it
    std::filesystem::path target = path;
    std::error_code fault;
    for (int links = 0; links < kMostLinks; ++links) {
        if (!std::filesystem::is_symlink(std::filesystem::symlink_status(target, fault)) ||
            is_of_a_process(target.native()))
            return target.native();
        const auto next = std::filesystem::read_symlink(target, fault);
        if (fault)
            return invalid_input("'{}': {}", path, fault.message());
        target = target.parent_path() / next; // an absolute one replaces it
    }
    return invalid_input("'{}': too many symbolic links", path);
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
    std::string target = TRY(target_of(place));
    struct stat status {};
    if (::stat(target.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        return open_special(target);
    if (is_of_a_process(target))
        return invalid_input("'{}' leads to a file that is open in this process: give its own name", place);
    std::string partial = target + ".partial";
    for (const std::string& replaced : {target, partial})
        TRY(check_unused(replaced));
    Fd fd = TRY(open_file(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, ErrorCode::InvalidInput));
    return StreamOutput{std::move(target), std::move(partial), std::move(fd)};
}

Result<StreamOutput> StreamOutput::adopt(Fd fd, const std::string& name) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0)
        return system_error(errno, name);
    if (S_ISFIFO(status.st_mode)) // an open file of our own: others wait in theirs as they please
        fd = TRY(open_file(fmt::format("/proc/self/fd/{}", fd.get()), O_WRONLY | O_NONBLOCK));
    else if (S_ISSOCK(status.st_mode))
        TRY(set_blocking(fd, false, name));
    return StreamOutput{name, {}, std::move(fd)};
}

Result<StreamOutput> StreamOutput::open_special(const std::string& path) {
    Fd fd = Fd::adopt(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    if (!fd && errno == ENXIO) // at once: a save does not wait for who might read it
        return invalid_input("nobody reads from '{}'", path);
    if (!fd)
        return Error{ErrorCode::InvalidInput, system_error(errno, fmt::format("open '{}'", path)).text};
    return StreamOutput{path, {}, std::move(fd)};
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
    // A pipe or a socket has nothing that could be synced.
    if (::fsync(fd_.get()) != 0 && !(partial_.empty() && (errno == EINVAL || errno == EROFS)))
        return system_error(errno, fmt::format("sync '{}'", partial_.empty() ? path_ : partial_));
    if (partial_.empty())
        return {};
    if (std::rename(partial_.c_str(), path_.c_str()) != 0)
        return system_error(errno, fmt::format("rename '{}' to '{}'", partial_, path_));
    partial_.clear();
    const Fd folder = TRY(open_file(folder_of(path_), O_RDONLY | O_DIRECTORY));
    if (::fsync(folder.get()) != 0)
        return system_error(errno, fmt::format("sync the folder of '{}'", path_));
    return {};
}

Result<StreamInput> StreamInput::open(const std::string& place, const migration::Cancel& cancel) {
    if (is_socket(place))
        return adopt(TRY(accept_one(socket_path(place), cancel)), cancel);
    // Opened so, a FIFO does not wait for its writer here but in poll().
    return adopt(TRY(open_file(place, O_RDONLY | O_NONBLOCK, 0, ErrorCode::InvalidInput)), cancel);
}

StreamInput StreamInput::adopt(Fd fd, const migration::Cancel& cancel) {
    struct stat status {};
    const bool regular = ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode);
    return StreamInput{std::move(fd), patient(cancel, kForEver), regular};
}

} // namespace godwit
