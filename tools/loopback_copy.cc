// SPDX-License-Identifier: Apache-2.0
//
// The ceiling that a migration over the loopback can reach: a plain TCP copy from memory to memory, every
// byte once. Usage: loopback_copy MEGABYTES [CONNECTIONS] [warm]. The destination's memory is fresh, as a
// migration's must be, and is first touched by the copy; warm: it was touched before. Prints megabytes (10^6
// bytes) per second, and CPU seconds per GiB of both sides.
#include "vmm/base/fd.h"
#include "vmm/base/mapping.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <netinet/in.h>
#include <numeric>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace godwit;

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;

Status check(int result, const char* what) {
    return result < 0 ? Status{system_error(errno, what)} : Status{};
}

Result<Mapping> memory(std::size_t size) {
    Mapping mapping = TRY(Mapping::anonymous(size));
    ::madvise(mapping.data(), size, MADV_HUGEPAGE); // as guest memory is
    return mapping;
}

void receive_all(int socket, std::span<std::byte> into) {
    while (!into.empty()) {
        const ssize_t count = ::recv(socket, into.data(), std::min(into.size(), kPiece), 0);
        if (count <= 0)
            return;
        into = into.subspan(static_cast<std::size_t>(count));
    }
}

Status send_all(int socket, std::span<const std::byte> from) {
    while (!from.empty()) {
        const ssize_t count = ::send(socket, from.data(), std::min(from.size(), kPiece), MSG_NOSIGNAL);
        TRY(check(static_cast<int>(count), "send"));
        from = from.subspan(static_cast<std::size_t>(count));
    }
    ::shutdown(socket, SHUT_WR);
    return {};
}

struct Pair {
    Fd out;
    Fd in;
};

Result<Pair> connect_pair() {
    const Fd listener = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    TRY(check(::bind(listener.get(), any, length), "bind"));
    TRY(check(::listen(listener.get(), 1), "listen"));
    TRY(check(::getsockname(listener.get(), any, &length), "getsockname"));
    Pair pair;
    pair.out = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    TRY(check(::connect(pair.out.get(), any, length), "connect"));
    pair.in = Fd::adopt(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    TRY(check(pair.in.get(), "accept"));
    return pair;
}

// Of the calling thread.
double cpu_seconds() {
    timespec used{};
    (void)::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Each connection moves its part of the bytes, by a thread on either side.
Result<std::string> copy(std::size_t size, std::size_t connections, bool warm) {
    const Mapping source = TRY(memory(size));
    const Mapping destination = TRY(memory(size));
    std::memset(source.data(), 0x5a, size);
    if (warm)
        std::memset(destination.data(), 1, size);
    std::vector<Pair> pairs;
    for (std::size_t i = 0; i < connections; ++i)
        pairs.push_back(TRY(connect_pair()));

    std::vector<Status> sent(connections);
    std::vector<double> used_here(connections);
    std::vector<double> used_there(connections);
    const auto begin = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        const std::size_t part = size / connections;
        for (std::size_t i = 0; i < connections; ++i) {
            const std::size_t length = i + 1 == connections ? size - i * part : part;
            threads.emplace_back([&, i, length, part] {
                receive_all(pairs[i].in.get(), destination.bytes().subspan(i * part, length));
                used_there[i] = cpu_seconds();
            });
            threads.emplace_back([&, i, length, part] {
                sent[i] = send_all(pairs[i].out.get(), source.bytes().subspan(i * part, length));
                used_here[i] = cpu_seconds();
            });
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    for (Status& status : sent)
        TRY(std::move(status));
    const double gibibytes = static_cast<double>(size) / (1 << 30);
    return fmt::format("{:.0f} {:.3f} {:.3f}", static_cast<double>(size) / 1e6 / took.count(),
                       std::accumulate(used_here.begin(), used_here.end(), 0.0) / gibibytes,
                       std::accumulate(used_there.begin(), used_there.end(), 0.0) / gibibytes);
}

} // namespace

int main(int argc, char** argv) {
    const long megabytes = argc > 1 ? std::atol(argv[1]) : 0;
    const long connections = argc > 2 ? std::atol(argv[2]) : 1;
    const bool warm = argc > 3 && std::string_view{argv[3]} == "warm";
    if (argc > 4 || (argc == 4 && !warm) || megabytes < 1 || megabytes > 65536 || connections < 1 ||
        connections > 16) {
        std::fputs("usage: loopback_copy MEGABYTES (1 to 65536) [CONNECTIONS (1 to 16)] [warm]\n", stderr);
        return 2;
    }
    const auto line =
        copy(static_cast<std::size_t>(megabytes) << 20, static_cast<std::size_t>(connections), warm);
    if (!line.ok()) {
        fmt::print(stderr, "loopback_copy: {}\n", line.error().text);
        return 1;
    }
    fmt::print("{}\n", *line);
    return 0;
}
