// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kick.h"

#include <cassert>
#include <csignal>

namespace godwit::kvm {

namespace {

// volatile: the handler interrupts the thread that also writes it.
thread_local volatile std::uint8_t* volatile t_immediate_exit = nullptr;

void on_kick(int) {
    if (volatile std::uint8_t* const flag = t_immediate_exit)
        *flag = 1;
}

} // namespace

Status install_kick_handler() {
    struct sigaction action {};
    action.sa_handler = on_kick;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (::sigaction(SIGRTMIN, &action, nullptr) != 0)
        return system_error(errno, "install the signal handler of the vCPU threads");
    return {};
}

void arm_kick(volatile std::uint8_t* immediate_exit) {
    t_immediate_exit = immediate_exit;
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int signal : {SIGRTMIN, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP})
        sigdelset(&blocked, signal);
    pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
}

void kick(pthread_t thread) {
    [[maybe_unused]] const int result = pthread_kill(thread, SIGRTMIN);
    assert(result == 0);
}

} // namespace godwit::kvm
