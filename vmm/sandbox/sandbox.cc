// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/sandbox.h"

#include "vmm/base/log.h"
#include "vmm/sandbox/filters.h"
#include "vmm/sandbox/landlock.h"
#include "vmm/sandbox/privileges.h"

#include <array>
#include <cerrno>
#include <optional>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace godwit::sandbox {

namespace {

// Of the process; constant once there is a second thread.
struct State {
    Mode mode = Mode::Off;
    std::optional<Identity> identity;
    std::string root;
    std::array<Fd, kRoles.size()> files; // Landlock's rules for each role that reaches files; empty: none
    Fd no_files;                         // and for the others

    const Fd& files_of(Role role) const {
        return reaches_files(role) ? files[static_cast<std::size_t>(role)] : no_files;
    }
};

State& state() {
    static State* const made = new State; // threads may outlive what main() leaves
    return *made;
}

// A thread that is to have less and does not must not go on.
void insist(int failure, const char* what) {
    if (failure == 0)
        return;
    log::error("sandbox: {}", system_error(failure, what).text);
    log::finish();
    ::_exit(kDeniedStatus);
}

} // namespace

Result<Mode> parse_mode(std::string_view word) {
    if (word == "on")
        return Mode::On;
    if (word == "log")
        return Mode::Log;
    if (word == "off")
        return Mode::Off;
    return invalid_input("--sandbox '{}' is not on, log or off", word);
}

Status begin(const Options& options) {
    State& own = state();
    if (!options.user.empty())
        own.identity = TRY(parse_identity(options.user));
    if ((own.identity || !options.root.empty()) && ::geteuid() != 0)
        return invalid_input("{} needs root", own.identity ? "--user" : "--chroot");
    if (!options.root.empty() && ::access(options.root.c_str(), X_OK) != 0)
        return invalid_input("--chroot: {}", system_error(errno, options.root).text);
    own.root = options.root;
    own.mode = options.mode;
    if (!options.paths.empty() && (own.mode != Mode::On || landlock_version() == 0))
        return invalid_input("--sandbox-path needs --sandbox on and a kernel with Landlock");
    if (own.mode == Mode::Off)
        return {};
    TRY(check_filters());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return system_error(errno, "PR_SET_NO_NEW_PRIVS");
    if (own.mode == Mode::Log)
        return {};
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return system_error(errno, "PR_SET_DUMPABLE");
    install_denial();
    log::on_thread_start([] { enter(Role::Worker); });
    const Places places{options.paths, options.key_file};
    for (std::size_t i = 0; i < kRoles.size(); ++i)
        if (reaches_files(Role(i)))
            own.files[i] = TRY(make_rules(Role(i), places));
    own.no_files = TRY(make_rules(Role::Worker, places));
    log::debug("sandbox: Landlock version {}", landlock_version());
    return {};
}

void enter(Role role, const std::string& name) {
    if (role != Role::Conductor)
        ::pthread_setname_np(::pthread_self(), name.empty() ? info(role).name.data() : name.c_str());
    const State& own = state();
    // Whoever was started after the door was closed has lost these with his creator.
    if (own.identity && ::geteuid() != own.identity->user)
        insist(become(*own.identity), "change the user");
    if (own.mode == Mode::Off)
        return;
    if (own.mode == Mode::On) {
        if (::geteuid() == 0 || own.identity)
            insist(drop_capabilities(), "drop capabilities");
        if (const Fd& files = own.files_of(role))
            insist(restrict_files(files), "landlock_restrict_self");
    }
    insist(load_filter(role, own.mode == Mode::On ? Denied::Ends : Denied::Logged), "load a seccomp filter");
}

Status close_door() {
    const State& own = state();
    if (!own.root.empty() && (::chroot(own.root.c_str()) != 0 || ::chdir("/") != 0))
        return system_error(errno, fmt::format("--chroot '{}'", own.root));
    if (own.mode == Mode::On)
        close_inherited();
    if (own.mode != Mode::Off || own.identity)
        enter(Role::Conductor);
    return {};
}

} // namespace godwit::sandbox
