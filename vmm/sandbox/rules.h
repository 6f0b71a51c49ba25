// SPDX-License-Identifier: Apache-2.0
//
// Which system calls which role may make, with which arguments, and why. Read when godwit is built:
// write_filters.cc makes seccomp programs and the table of docs/sandbox.md of it. What is not here ends the
// process.
#pragma once

#include "vmm/sandbox/role.h"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>

namespace godwit::sandbox {

// In a filter, this stands where the process's own id is put when it is loaded.
inline constexpr std::uint32_t kOwnProcess = 0x676f6477;

// (argument & mask) == value.
struct Condition {
    unsigned argument = 0;
    std::uint64_t mask = ~std::uint64_t{0};
    std::uint64_t value = 0;
};

struct Rule {
    std::string_view call;
    std::uint8_t roles;
    std::string_view why;
    // All of them must hold; with none, any argument goes.
    std::array<Condition, 2> when{};
    unsigned conditions = 0;
    std::string_view terms = {}; // the conditions in words
    int refused = 0;             // the call fails with this errno, and nothing else happens
};

// Argument `index` is `value`, in the bits of `mask`. ioctl requests and flags are 32 bits wide, whatever
// stands above.
constexpr Condition is(unsigned index, std::uint64_t value, std::uint64_t mask = 0xffffffff) {
    return {index, mask, value};
}
constexpr Rule rule(std::uint8_t roles, std::string_view call, std::string_view why) {
    return {call, roles, why};
}
constexpr Rule rule(std::uint8_t roles, std::string_view call, std::string_view why, std::string_view terms,
                    Condition first) {
    return {call, roles, why, {first}, 1, terms};
}
constexpr Rule rule(std::uint8_t roles, std::string_view call, std::string_view why, std::string_view terms,
                    Condition first, Condition second) {
    return {call, roles, why, {first, second}, 2, terms};
}
constexpr Rule refuse(std::uint8_t roles, int with, std::string_view call, std::string_view why) {
    return {call, roles, why, {}, 0, {}, with};
}
constexpr Rule refuse(std::uint8_t roles, int with, std::string_view call, std::string_view why,
                      std::string_view terms, Condition first) {
    return {call, roles, why, {first}, 1, terms, with};
}

namespace rules {

inline constexpr std::uint8_t C = bit(Role::Conductor), V = bit(Role::Vcpu), L = bit(Role::Loop),
                              S = bit(Role::Source), D = bit(Role::Destination), B = bit(Role::Boot),
                              W = bit(Role::Worker), All = kEveryRole;
inline constexpr std::uint8_t Talks = C | L | S | D;
inline constexpr std::uint8_t Reads = S | D; // files, by their names

inline constexpr std::uint64_t kKvmRequests = 0xae00; // KVMIO of <linux/kvm.h>, of any number
inline constexpr std::uint64_t kAnyNumber = 0xff00;
// What makes open() more than reading.
inline constexpr std::uint64_t kWriting = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);

} // namespace rules

inline constexpr Rule kRules[] = {
    // ---- memory
    rule(rules::All, "brk", "memory"),
    rule(rules::All, "mmap", "memory", "not executable", is(2, 0, PROT_EXEC)),
    refuse(rules::All, EACCES, "mmap", "no code is loaded any more", "executable",
           is(2, PROT_EXEC, PROT_EXEC)),
    rule(rules::All, "mprotect", "stacks of threads, growing heaps", "not executable", is(2, 0, PROT_EXEC)),
    refuse(rules::All, EACCES, "mprotect", "no code is made", "executable", is(2, PROT_EXEC, PROT_EXEC)),
    rule(rules::All, "mremap", "memory"),
    rule(rules::All, "munmap", "memory"),
    rule(rules::All, "madvise", "memory that goes back, huge pages, guest RAM"),
    rule(rules::All, "mincore", "how much of guest RAM is there"),
    rule(rules::All, "membarrier", "memory"),
    // ---- threads and time
    rule(rules::All, "futex", "locks"),
    rule(rules::All, "sched_yield", "locks"),
    rule(rules::All, "sched_getaffinity", "how many processors there are"),
    rule(rules::All, "getcpu", "memory of this processor's own"),
    rule(rules::All, "clone", "threads", "threads of this process", is(0, CLONE_THREAD, CLONE_THREAD)),
    refuse(rules::All, ENOSYS, "clone3", "its flags cannot be looked at: libraries fall back to clone"),
    rule(rules::All, "set_robust_list", "threads"),
    rule(rules::All, "rseq", "threads"),
    rule(rules::All, "gettid", "threads"),
    rule(rules::All, "getpid", "log lines"),
    rule(rules::All, "tgkill", "vCPUs are kicked; abort()", "threads of this process", is(0, kOwnProcess)),
    rule(rules::All, "prctl", "the thread's name", "PR_SET_NAME", is(0, PR_SET_NAME)),
    rule(rules::All, "prctl", "the thread's name", "PR_GET_NAME", is(0, PR_GET_NAME)),
    rule(rules::All, "seccomp", "a thread of a narrower role", "a further filter, no flags",
         is(0, SECCOMP_SET_MODE_FILTER), is(1, 0)),
    rule(rules::All, "landlock_restrict_self", "a thread of a narrower role"),
    rule(rules::All, "capset", "a thread of a narrower role; none can be gained"),
    rule(rules::All, "close", "descriptors"),
    rule(rules::All, "rt_sigreturn", "signals"),
    rule(rules::All, "rt_sigaction", "signals", "to look", is(1, 0, ~std::uint64_t{0})),
    rule(rules::All, "rt_sigprocmask", "signals"),
    rule(rules::All, "rt_sigtimedwait", "what ends the process is waited for"),
    rule(rules::All, "sigaltstack", "signals"),
    rule(rules::All, "restart_syscall", "waits that were interrupted"),
    rule(rules::All, "exit", "the thread's end"),
    rule(rules::All, "exit_group", "the process's end"),
    rule(rules::All, "clock_gettime", "time"),
    rule(rules::All, "clock_getres", "time"),
    rule(rules::All, "clock_nanosleep", "time"),
    rule(rules::All, "nanosleep", "time"),
    rule(rules::All, "gettimeofday", "time"),
    rule(rules::All, "time", "time"),
    rule(rules::All, "getrandom", "random numbers; what the entropy device gives"),
    rule(rules::All, "prlimit64", "limits", "read only", is(2, 0, ~std::uint64_t{0})),
    rule(rules::All, "getrusage", "processor time of a migration"),
    rule(rules::All, "sysinfo", "memory of the host"),
    rule(rules::All, "uname", "log lines, resolver"),
    rule(rules::All, "getuid", "libraries"),
    rule(rules::All, "geteuid", "libraries"),
    rule(rules::All, "getgid", "libraries"),
    rule(rules::All, "getegid", "libraries"),
    // ---- descriptors that are open
    rule(rules::All, "read", "files, eventfds, sockets"),
    rule(rules::All, "readv", "files, taps"),
    rule(rules::All, "pread64", "disks, files"),
    rule(rules::All, "preadv", "disks, files"),
    rule(rules::All, "write", "the log, eventfds, consoles"),
    rule(rules::All, "writev", "the log, taps"),
    rule(rules::All, "pwrite64", "disks, files"),
    rule(rules::All, "pwritev", "disks, files"),
    rule(rules::All, "lseek", "files"),
    rule(rules::All, "fstat", "sizes and times of what is open"),
    rule(rules::All, "newfstatat", "sizes and times of what is open", "by descriptor alone",
         is(3, AT_EMPTY_PATH)),
    rule(rules::All, "fcntl", "locks of disks, how a descriptor waits"),
    rule(rules::All, "fsync", "disks, saved files"),
    rule(rules::All, "fdatasync", "disks, saved files"),
    rule(rules::All, "sync_file_range", "disks that are written back"),
    rule(rules::All, "fadvise64", "files that are read once"),
    rule(rules::All, "poll", "waits"),
    rule(rules::All, "ppoll", "waits"),
    rule(rules::All, "eventfd2", "threads wake each other"),
    rule(rules::All, "ioctl", "whether the log is a terminal", "TCGETS", is(1, TCGETS)),
    rule(rules::All, "ioctl", "size of a block device", "BLKGETSIZE64", is(1, BLKGETSIZE64)),
    // ---- the guest
    rule(rules::C | rules::V | rules::L | rules::S | rules::D, "ioctl",
         "the virtual machine: to run it, its interrupts, its state, its dirty pages", "requests of KVM",
         is(1, rules::kKvmRequests, rules::kAnyNumber)),
    rule(rules::V, "sendto", "what the guest writes to its serial port", "to who is connected",
         is(4, 0, ~std::uint64_t{0})),
    // ---- devices
    rule(rules::L, "io_uring_enter", "the ring, which takes the operations of vmm/loop alone"),
    rule(rules::L, "io_uring_register", "files of the ring", "IORING_REGISTER_FILES_UPDATE", is(1, 6)),
    rule(rules::L, "ioctl", "a tap's offloads", "TUNSETOFFLOAD", is(1, TUNSETOFFLOAD)),
    rule(rules::L, "ioctl", "a tap's headers", "TUNSETVNETHDRSZ", is(1, TUNSETVNETHDRSZ)),
    rule(rules::L, "ioctl", "whether a tap is still there", "TUNGETIFF", is(1, TUNGETIFF)),
    rule(rules::L, "ioctl", "discards on a block device", "BLKDISCARD", is(1, BLKDISCARD)),
    rule(rules::C | rules::L, "ioctl", "the terminal, as it was", "TCSETS", is(1, TCSETS)),
    rule(rules::C | rules::L, "ioctl", "the terminal, as it was", "TCSETSW", is(1, TCSETSW)),
    rule(rules::C | rules::L, "ioctl", "the terminal, as it was", "TCSETSF", is(1, TCSETSF)),
    rule(rules::L, "ioctl", "input that waits", "FIONREAD", is(1, FIONREAD)),
    rule(rules::L, "fallocate", "discards and zeros on a disk"),
    // ---- connections
    rule(rules::Talks, "recvmsg", "connections; descriptors of clients"),
    rule(rules::Talks, "recvfrom", "connections"),
    rule(rules::Talks, "sendmsg", "connections"),
    rule(rules::Talks, "sendto", "connections"),
    rule(rules::Talks, "shutdown", "connections"),
    rule(rules::Talks, "getsockopt", "connections"),
    rule(rules::Talks, "setsockopt", "connections"),
    rule(rules::Talks, "getsockname", "connections"),
    rule(rules::Talks, "getpeername", "connections"),
    rule(rules::C | rules::L | rules::D, "accept4", "clients, visitors, a console's reader"),
    rule(rules::C | rules::S, "socket", "a migration's connections", "AF_UNIX", is(0, AF_UNIX)),
    rule(rules::C | rules::S, "socket", "a migration's connections, the resolver", "AF_INET", is(0, AF_INET)),
    rule(rules::C | rules::S, "socket", "a migration's connections, the resolver", "AF_INET6",
         is(0, AF_INET6)),
    rule(rules::C | rules::L | rules::S, "socket",
         "which addresses the host has: the resolver, taps that lack one", "AF_NETLINK, NETLINK_ROUTE",
         is(0, AF_NETLINK), is(2, 0)),
    rule(rules::C | rules::S, "connect", "a migration's connections, the resolver"),
    rule(rules::C | rules::L | rules::S, "bind", "the same; the resolver"),
    rule(rules::C | rules::S, "sendmmsg", "the resolver"),
    rule(rules::C | rules::S, "ioctl", "the resolver", "FIONREAD", is(1, FIONREAD)),
    // ---- files by their names
    rule(rules::Reads, "openat", "names of hosts; shared keys, the host's memory", "to read",
         is(2, 0, rules::kWriting)),
    rule(rules::Reads, "newfstatat", "the same files"),
    rule(rules::Reads | rules::L, "access", "the same files; whether a tap belongs to a bridge"),
    rule(rules::Reads, "faccessat2", "the same files"),
    rule(rules::Reads, "readlink", "the same files"),
    rule(rules::C | rules::D | rules::B, "memfd_create", "what a guest boots from, in memory"),
    rule(rules::C | rules::D | rules::B, "ftruncate", "what a guest boots from; timelines"),
    rule(rules::C, "openat", "saved files, streams, certificates and keys, when an operator asks"),
    rule(rules::C, "newfstatat", "the same"),
    rule(rules::C, "statx", "the same"),
    rule(rules::C, "access", "the same"),
    rule(rules::C, "faccessat2", "the same"),
    rule(rules::C, "readlink", "the same"),
    rule(rules::C, "readlinkat", "the same"),
    rule(rules::C | rules::L, "getcwd", "the same: names that are not absolute"),
    rule(rules::C, "getdents64", "what this process has open"),
    rule(rules::C, "rename", "a saved file takes its name when it is whole"),
    rule(rules::C, "unlink", "a file that was not saved to its end; sockets, when the process ends"),
    rule(rules::C, "lstat", "the same"),
    rule(rules::C, "stat", "the same"),
    refuse(rules::V | rules::L | rules::B | rules::W, EACCES, "openat",
           "no file is opened here; libraries that look for one go on without"),
};

} // namespace godwit::sandbox
