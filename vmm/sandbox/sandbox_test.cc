// SPDX-License-Identifier: Apache-2.0
//
// Each case in a process of its own: what it gives up is gone for good.
#include "vmm/sandbox/sandbox.h"

#include "vmm/base/fd.h"
#include "vmm/sandbox/filters.h"
#include "vmm/sandbox/landlock.h"
#include "vmm/sandbox/privileges.h"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace godwit;
using namespace godwit::sandbox;

namespace {

struct End {
    int status; // as of waitpid()
    std::string words;
};

constexpr int kFine = 0, kWrong = 77;

// What becomes of a process that does `body`, which says whether all was as it should be.
End outcome(const std::function<bool()>& body) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::_exit(body() ? kFine : kWrong);
    }
    ::close(ends[1]);
    End end{};
    char part[512];
    for (ssize_t count; (count = ::read(ends[0], part, sizeof part)) > 0;)
        end.words.append(part, static_cast<std::size_t>(count));
    ::close(ends[0]);
    REQUIRE(::waitpid(child, &end.status, 0) == child);
    return end;
}

bool fine(const std::function<bool()>& body) {
    const End end = outcome(body);
    UNSCOPED_INFO(end.words);
    return WIFEXITED(end.status) && WEXITSTATUS(end.status) == kFine;
}

// `body` as a thread of that role does it.
std::function<bool()> as(Role role, std::function<bool()> body, Options options = {}) {
    return [=] {
        std::thread{[] {}}.join(); // the first one makes the C library install a handler
        if (!begin(options).ok())
            return false;
        enter(role);
        return body();
    };
}

// Whether `call` ends a thread of that role with the one line that says so.
bool ends(Role role, long number, std::string_view name, std::array<long, 4> arguments = {}) {
    const End end = outcome(as(role, [=] {
        ::syscall(number, arguments[0], arguments[1], arguments[2], arguments[3]);
        return true;
    }));
    UNSCOPED_INFO(end.words << " status " << end.status);
    return WIFEXITED(end.status) && WEXITSTATUS(end.status) == kDeniedStatus &&
           end.words ==
               fmt::format("godwit: sandbox: the thread '{}' made the system call {} ({}), which it may not; "
                           "the process ends\n",
                           info(role).name, name, number);
}

bool refused(long result, int with) {
    return result == -1 && errno == with;
}

// On this thread: a file by its name.
bool opens(const std::string& path, int flags = O_RDONLY) {
    return static_cast<bool>(Fd::adopt(::open(path.c_str(), flags | O_CLOEXEC, 0600)));
}

class Folder {
  public:
    Folder() { REQUIRE(::mkdtemp(path_) != nullptr); }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string file(const std::string& name) const { return std::string{path_} + '/' + name; }
    std::string path() const { return path_; }
    std::string with(const std::string& name) const {
        std::ofstream{file(name)} << name;
        return file(name);
    }

  private:
    char path_[32] = "/tmp/godwit-sandbox-XXXXXX";
};

std::string status_line(const std::string& key) {
    std::ifstream file{"/proc/thread-self/status"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key + ":"))
            return line.substr(line.find_last_of(" \t") + 1);
    return {};
}

constexpr std::array kAll{Role::Conductor,   Role::Vcpu, Role::Loop,  Role::Source,
                          Role::Destination, Role::Boot, Role::Worker};

} // namespace

TEST_CASE("a call that no thread may make ends the process with one line") {
    for (const Role role : kAll) {
        CAPTURE(info(role).name);
        CHECK(ends(role, SYS_execve, "execve"));
        CHECK(ends(role, SYS_fork, "fork"));
        CHECK(ends(role, SYS_ptrace, "ptrace"));
        CHECK(ends(role, SYS_kill, "kill", {1, 0}));
        CHECK(ends(role, SYS_io_uring_setup, "io_uring_setup"));
        CHECK(ends(role, SYS_userfaultfd, "userfaultfd"));
        CHECK(ends(role, SYS_rt_sigaction, "rt_sigaction", {SIGSYS, 1}));
        CHECK(ends(role, SYS_openat2, "openat2"));
        CHECK(ends(role, SYS_setuid, "setuid"));
        CHECK(ends(role, SYS_mount, "mount"));
        CHECK(ends(role, SYS_process_vm_writev, "process_vm_writev"));
        // A new process, another process's thread, another prctl, a filter with a listener.
        CHECK(ends(role, SYS_clone, "clone", {SIGCHLD}));
        CHECK(ends(role, SYS_tgkill, "tgkill", {::getppid(), ::getppid(), 0}));
        CHECK(ends(role, SYS_prctl, "prctl", {PR_SET_DUMPABLE, 1}));
        CHECK(
            ends(role, SYS_seccomp, "seccomp", {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}));
        CHECK(ends(role, SYS_ioctl, "ioctl", {0, TIOCSTI}));
    }
}

TEST_CASE("who meets the guest or a peer opens no connection and changes no file") {
    for (const Role role : {Role::Vcpu, Role::Loop, Role::Destination, Role::Boot, Role::Worker}) {
        CAPTURE(info(role).name);
        CHECK(ends(role, SYS_socket, "socket", {AF_INET, SOCK_STREAM}));
        CHECK(ends(role, SYS_connect, "connect"));
        CHECK(ends(role, SYS_bind, "bind") != (role == Role::Loop));
        CHECK(ends(role, SYS_unlink, "unlink"));
        CHECK(ends(role, SYS_rename, "rename"));
        CHECK(ends(role, SYS_newfstatat, "newfstatat", {AT_FDCWD, 0, 0, 1}) != (role == Role::Destination));
    }
    CHECK(ends(Role::Source, SYS_socket, "socket", {AF_PACKET, SOCK_RAW}));
    CHECK(ends(Role::Source, SYS_accept4, "accept4"));
    CHECK(ends(Role::Source, SYS_unlink, "unlink"));
    CHECK(ends(Role::Conductor, SYS_socket, "socket", {AF_PACKET, SOCK_RAW}));
    CHECK(ends(Role::Loop, SYS_socket, "socket", {AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER}));
    CHECK(ends(Role::Vcpu, SYS_recvmsg, "recvmsg"));
    CHECK(ends(Role::Vcpu, SYS_io_uring_enter, "io_uring_enter"));
    CHECK(ends(Role::Worker, SYS_ioctl, "ioctl", {0, 0xae80}));   // KVM_RUN
    CHECK(ends(Role::Vcpu, SYS_ioctl, "ioctl", {0, 0x400454ca})); // TUNSETIFF
    CHECK(ends(Role::Loop, SYS_ioctl, "ioctl", {0, 0x400454ca}));
    CHECK(ends(Role::Destination, SYS_openat, "openat", {AT_FDCWD, 0, O_WRONLY}));
    CHECK(ends(Role::Source, SYS_openat, "openat", {AT_FDCWD, 0, O_RDONLY | O_CREAT}));
}

TEST_CASE("what every thread needs goes on") {
    for (const Role role : kAll) {
        CAPTURE(info(role).name);
        CHECK(fine(as(role, [] {
            std::vector<std::thread> threads;
            std::atomic<int> sum{0};
            for (int i = 0; i < 3; ++i)
                threads.emplace_back([&] {
                    const std::vector<char> much(1 << 21, 'x'); // mapped, and given back
                    sum += much[4711] == 'x';
                });
            for (std::thread& thread : threads)
                thread.join();
            const auto event = EventFd::create();
            return sum == 3 && event.ok() && ::pthread_kill(::pthread_self(), 0) == 0 && ::sched_yield() == 0;
        })));
    }
}

TEST_CASE("threads start those that their roles start") {
    for (const Role parent : kAll)
        for (const Role child : kAll) {
            if ((info(child).started_by & bit(parent)) == 0)
                continue;
            CAPTURE(info(parent).name, info(child).name);
            CHECK(fine(as(parent, [child] {
                bool done = false;
                std::thread{[&] {
                    enter(child, "named");
                    char name[16] = {};
                    done = ::pthread_getname_np(::pthread_self(), name, sizeof name) == 0;
                }}.join();
                return done;
            })));
        }
}

TEST_CASE("no code is loaded or made any more") {
    for (const Role role : kAll)
        CHECK(fine(as(role, [] {
            void* const plain =
                ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            return plain != MAP_FAILED && refused(::mprotect(plain, 4096, PROT_READ | PROT_EXEC), EACCES) &&
                   ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED &&
                   errno == EACCES;
        })));
}

TEST_CASE("files by their names") {
    const Folder folder;
    const std::string file = folder.with("file"), keys = folder.with("keys"), absent = folder.file("new");

    SECTION("none for those that need none: libraries go on without") {
        for (const Role role : {Role::Vcpu, Role::Loop, Role::Boot, Role::Worker})
            CHECK(fine(as(role, [&] { return !opens(file) && errno == EACCES && !opens("/etc/passwd"); })));
    }
    SECTION("a destination sees the host's memory and the folder of its keys") {
        const bool here = landlock_version() > 0;
        CHECK(fine(as(Role::Destination, [&] { return opens("/proc/meminfo") && opens(file) != here; })));
        CHECK(fine(as(Role::Destination, [&] { return opens(keys); }, {.key_file = keys})));
    }
    SECTION("a source sees what tells names of hosts") {
        const bool here = landlock_version() > 0;
        CHECK(fine(as(Role::Source, [&] { return opens("/etc/hosts") && opens(file) != here; })));
    }
    SECTION("the conductor saves") {
        CHECK(fine(as(Role::Conductor, [&] {
            return opens(absent, O_WRONLY | O_CREAT) && ::rename(absent.c_str(), file.c_str()) == 0 &&
                   ::unlink(file.c_str()) == 0;
        })));
    }
    SECTION("but where it was told to, if it was") {
        if (landlock_version() == 0) {
            const End end = outcome([&] { return begin({.paths = {folder.path()}}).ok(); });
            CHECK(WEXITSTATUS(end.status) == kWrong);
            return;
        }
        const Options options{.paths = {folder.path()}};
        CHECK(fine(as(
            Role::Conductor, [&] { return opens(absent, O_WRONLY | O_CREAT); }, options)));
        CHECK(fine(as(
            Role::Conductor,
            [&] { return !opens("/tmp/godwit-sandbox-x", O_WRONLY | O_CREAT) && errno == EACCES; },
            options)));
        const Status status = begin({.paths = {folder.file("no/such")}});
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Catch::Contains("--sandbox-path") && Catch::Contains("no/such"));
    }
}

TEST_CASE("privileges are gone and stay away") {
    CHECK(fine(as(Role::Conductor, [] {
        return status_line("NoNewPrivs") == "1" && status_line("Seccomp") == "2" &&
               status_line("CapEff") == "0000000000000000" && status_line("CapPrm") == "0000000000000000";
    })));
    CHECK(fine([] { return begin({}).ok() && ::prctl(PR_GET_DUMPABLE) == 0; }));
}

TEST_CASE("a sandbox that logs denies nothing, and one that is off is none") {
    for (const Mode mode : {Mode::Log, Mode::Off})
        CHECK(fine(as(Role::Vcpu,
                      [mode] {
                          return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 &&
                                 opens("/etc/passwd") &&
                                 status_line("Seccomp") == (mode == Mode::Log ? "2" : "0");
                      },
                      {.mode = mode})));
    CHECK_FALSE(parse_mode("maybe").ok());
}

TEST_CASE("closing the door closes what was inherited, and keeps what is ours") {
    CHECK(fine([] {
        const int inherited = ::open("/dev/null", O_RDONLY);
        const Fd own = Fd::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        return begin({}).ok() && close_door().ok() && ::fcntl(inherited, F_GETFD) == -1 &&
               ::fcntl(own.get(), F_GETFD) != -1 && ::fcntl(STDERR_FILENO, F_GETFD) != -1;
    }));
}

TEST_CASE("another user, and another root folder") {
    if (::geteuid() != 0) {
        const Status status = begin({.user = "0"});
        REQUIRE_FALSE(status.ok());
        CHECK(status.error().text == "--user needs root");
        return;
    }
    SECTION("a user by name or number, with his group or another one") {
        const auto nobody = parse_identity("nobody");
        REQUIRE(nobody.ok());
        CHECK(nobody->user == 65534);
        CHECK(parse_identity("12345:54321")->group == 54321);
        CHECK(parse_identity("nobody:12")->group == 12);
        for (const char* const wrong :
             {"no-such-user", "nobody:no-such-group", "12345", "4294967295:1", ":1"}) {
            CAPTURE(wrong);
            CHECK_FALSE(parse_identity(wrong).ok());
        }
    }
    SECTION("every thread becomes him") {
        CHECK(fine([] {
            bool there = false;
            if (!begin({.user = "nobody:12"}).ok())
                return false;
            std::thread{[&] {
                enter(Role::Vcpu);
                there = ::geteuid() == 65534;
            }}.join();
            const bool not_yet = ::geteuid() == 0;
            bool later = false;
            const bool closed = close_door().ok();
            std::thread{[&] {
                enter(Role::Source);
                later = ::getuid() == 65534;
            }}.join();
            return there && not_yet && closed && later && ::getegid() == 12 && ::getuid() == 65534 &&
                   status_line("CapEff") == "0000000000000000";
        }));
        // Also without a sandbox.
        CHECK(fine([] {
            return begin({.mode = Mode::Off, .user = "nobody"}).ok() && close_door().ok() &&
                   ::getuid() == 65534;
        }));
    }
    SECTION("a folder is the root") {
        const Folder folder;
        (void)folder.with("inside");
        CHECK(fine([&] {
            return begin({.root = folder.path()}).ok() && close_door().ok() && opens("/inside") &&
                   !opens("/etc/passwd");
        }));
        const Status status = begin({.root = folder.file("no/such")});
        REQUIRE_FALSE(status.ok());
        CHECK_THAT(status.error().text, Catch::Contains("--chroot") && Catch::Contains("no/such"));
    }
}
