// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/landlock.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace godwit::sandbox {

namespace {

constexpr std::uint64_t kReads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
// What saving a guest needs.
constexpr std::uint64_t kWrites =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
// What nobody needs who has started.
constexpr std::uint64_t kNever = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
// Later versions of the kernel's interface; our headers may be older than that.
constexpr std::uint64_t kTruncate = 1ULL << 14; // version 3

// The resolver's.
constexpr std::array kNames{"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"};
// What tells how much memory a guest may have here, and what GnuTLS looks at.
constexpr std::array kHost{"/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup", "/etc/gnutls",
                           "/etc/crypto-policies"};

Status allow(const Fd& rules, const std::string& path, std::uint64_t access) {
    const Fd place = Fd::adopt(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat kind {};
    if (!place || ::fstat(place.get(), &kind) != 0)
        return system_error(errno, fmt::format("--sandbox-path '{}'", path));
    if (!S_ISDIR(kind.st_mode))
        access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
    const landlock_path_beneath_attr rule{access, place.get()};
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        return system_error(errno, fmt::format("--sandbox-path '{}': landlock_add_rule", path));
    return {};
}

template <class Paths>
void allow_reading(const Fd& rules, const Paths& paths) {
    for (const auto& path : paths)
        (void)allow(rules, path,
                    kReads); // not there, or no file system that Landlock knows: not reached, then
}

} // namespace

int landlock_version() {
    static const long version =
        ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : static_cast<int>(version);
}

Result<Fd> make_rules(Role role, const Places& places) {
    const int version = landlock_version();
    if (version == 0)
        return Fd{};
    const bool limited = role != Role::Conductor || !places.paths.empty();
    const std::uint64_t write = kWrites | (version >= 3 ? kTruncate : 0);
    landlock_ruleset_attr handled{};
    handled.handled_access_fs = kNever | (limited ? kReads | write : 0);
    Fd rules = Fd::adopt(static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled.handled_access_fs, 0)));
    if (!rules)
        return system_error(errno, "landlock_create_ruleset");
    if (!limited)
        return rules;
    const bool conducts = role == Role::Conductor;
    if (conducts || role == Role::Source)
        allow_reading(rules, kNames);
    if (conducts || role == Role::Destination) {
        allow_reading(rules, kHost);
        if (!places.key_file.empty()) // another file may take its name
            allow_reading(rules,
                          std::array{std::filesystem::absolute(places.key_file).parent_path().native()});
    }
    if (conducts)
        for (const std::string& path : places.paths)
            TRY(allow(rules, path, kReads | write));
    return rules;
}

int restrict_files(const Fd& rules) {
    return ::syscall(SYS_landlock_restrict_self, rules.get(), 0) == 0 ? 0 : errno;
}

} // namespace godwit::sandbox
