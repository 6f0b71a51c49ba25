// SPDX-License-Identifier: Apache-2.0
#include "vmm/sandbox/filters.h"

#include "vmm/sandbox/rules.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <linux/filter.h>
#include <poll.h>
#include <span>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

namespace godwit::sandbox {

namespace {

#include "vmm/sandbox/filters.inc.h"

thread_local Role t_role = Role::Conductor;

// ---- in a signal handler: nothing but system calls that every role may make

class Line {
  public:
    Line& operator<<(std::string_view text) {
        const std::size_t count = std::min(text.size(), sizeof bytes_ - size_);
        std::memcpy(bytes_ + size_, text.data(), count);
        size_ += count;
        return *this;
    }
    Line& operator<<(unsigned number) {
        char digits[10];
        std::size_t at = sizeof digits;
        do
            digits[--at] = static_cast<char>('0' + number % 10);
        while ((number /= 10) != 0);
        return *this << std::string_view{digits + at, sizeof digits - at};
    }
    // A reader that takes nothing holds nothing up.
    void print() const {
        pollfd error_stream{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&error_stream, 1, 1000) == 1)
            (void)!::write(STDERR_FILENO, bytes_, size_);
    }

  private:
    char bytes_[256];
    std::size_t size_ = 0;
};

std::string_view call_name(unsigned number) {
    for (const CallName& call : kCalls)
        if (call.number == number) {
            const std::string_view rest = kCallNames.substr(call.at);
            return rest.substr(0, rest.find('\n'));
        }
    return "unknown";
}

[[noreturn]] void denied(int, siginfo_t* what, void*) {
    const auto number = static_cast<unsigned>(what->si_syscall);
    Line line;
    line << "godwit: sandbox: the thread '" << info(t_role).name << "' made the system call "
         << call_name(number) << " (" << number << "), which it may not; the process ends\n";
    line.print();
    ::_exit(kDeniedStatus);
}

} // namespace

Status check_filters() {
    const std::uint32_t trap = SECCOMP_RET_TRAP;
    if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) != 0)
        return error(ErrorCode::NoDevice,
                     "--sandbox on: this kernel has no seccomp filters ({}); --sandbox off goes without",
                     std::strerror(errno));
    return {};
}

void install_denial() {
    struct sigaction action {};
    action.sa_sigaction = denied;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGSYS, &action, nullptr);
}

int load_filter(Role role, Denied what) {
    t_role = role;
    const auto made = kFilters[static_cast<std::size_t>(role)];
    std::vector<sock_filter> program{made.begin(), made.end()};
    for (sock_filter& one : program) {
        if (what == Denied::Logged && one.code == (BPF_RET | BPF_K) &&
            (one.k == SECCOMP_RET_TRAP || one.k == (SECCOMP_RET_ERRNO | EACCES)))
            one.k = SECCOMP_RET_LOG;
        if (BPF_CLASS(one.code) == BPF_JMP && one.k == kOwnProcess)
            one.k = static_cast<std::uint32_t>(::getpid());
    }
    const sock_fprog loaded{static_cast<unsigned short>(program.size()), program.data()};
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) == 0 ? 0 : errno;
}

} // namespace godwit::sandbox
