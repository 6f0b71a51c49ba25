// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/privileges.h"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

namespace godwit::sandbox {

namespace {

std::optional<std::uint32_t> number_in(std::string_view text) {
    std::uint32_t number = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    // The highest one means "as it was" to the kernel.
    const bool whole = fault == std::errc{} && end == text.data() + text.size() && number != UINT32_MAX;
    return whole ? std::optional{number} : std::nullopt;
}

Error unknown(std::string_view kind, const std::string& name) {
    return invalid_input("--user: there is no {} '{}'", kind, name);
}

} // namespace

Result<Identity> parse_identity(const std::string& text) {
    const std::size_t colon = text.find(':');
    const std::string user = text.substr(0, colon);
    Identity identity;
    const auto user_number = number_in(user);
    const passwd* const entry = user_number ? ::getpwuid(*user_number) : ::getpwnam(user.c_str());
    if (entry == nullptr && (!user_number || colon == std::string::npos))
        return unknown("user", user);
    identity.user = user_number ? *user_number : entry->pw_uid;
    if (colon == std::string::npos) {
        identity.group = entry->pw_gid;
        return identity;
    }
    const std::string group = text.substr(colon + 1);
    if (const auto group_number = number_in(group)) {
        identity.group = *group_number;
    } else if (const struct group* const found = ::getgrnam(group.c_str()); found != nullptr) {
        identity.group = found->gr_gid;
    } else {
        return unknown("group", group);
    }
    return identity;
}

int become(const Identity& identity) {
    const auto [user, group] = identity;
    const bool done = ::syscall(SYS_setgroups, 0, nullptr) == 0 &&
                      ::syscall(SYS_setresgid, group, group, group) == 0 &&
                      ::syscall(SYS_setresuid, user, user, user) == 0;
    return done ? 0 : errno;
}

int drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
    return ::syscall(SYS_capset, &header, none) == 0 ? 0 : errno;
}

void close_inherited() {
    std::error_code fault;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", fault)) {
        const auto fd = number_in(entry.path().filename().native());
        if (!fd || *fd <= STDERR_FILENO)
            continue;
        const int flags = ::fcntl(static_cast<int>(*fd), F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
            ::close(static_cast<int>(*fd));
    }
}

} // namespace godwit::sandbox
