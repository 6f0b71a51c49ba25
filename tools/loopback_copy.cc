// SPDX-License-Identifier: Apache-2.0
//
// The ceiling that a migration over the loopback can reach: a plain TCP copy from memory to memory, every
// byte once. Usage: loopback_copy MEGABYTES [CONNECTIONS]. Prints megabytes (10^6 bytes) per second.
#include "vmm/base/fd.h"
#include "vmm/base/mapping.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
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

// Each connection moves its part of the bytes, by a thread on either side.
Result<double> copy(std::size_t size, std::size_t connections) {
    const Mapping source = TRY(memory(size));
    const Mapping destination = TRY(memory(size));
    std::memset(source.data(), 0x5a, size);
    std::vector<Pair> pairs;
    for (std::size_t i = 0; i < connections; ++i)
        pairs.push_back(TRY(connect_pair()));

    std::vector<Status> sent(connections);
    const auto begin = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        const std::size_t part = size / connections;
        for (std::size_t i = 0; i < connections; ++i) {
            const std::size_t length = i + 1 == connections ? size - i * part : part;
            threads.emplace_back([&, i, length, part] {
                receive_all(pairs[i].in.get(), destination.bytes().subspan(i * part, length));
            });
            threads.emplace_back([&, i, length, part] {
                sent[i] = send_all(pairs[i].out.get(), source.bytes().subspan(i * part, length));
            });
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    for (Status& status : sent)
        TRY(std::move(status));
    return static_cast<double>(size) / 1e6 / took.count();
}

} // namespace

int main(int argc, char** argv) {
    const long megabytes = argc > 1 ? std::atol(argv[1]) : 0;
    const long connections = argc > 2 ? std::atol(argv[2]) : 1;
    if (argc > 3 || megabytes < 1 || megabytes > 65536 || connections < 1 || connections > 16) {
        std::fputs("usage: loopback_copy MEGABYTES (1 to 65536) [CONNECTIONS (1 to 16)]\n", stderr);
        return 2;
    }
    const auto rate = copy(static_cast<std::size_t>(megabytes) << 20, static_cast<std::size_t>(connections));
    if (!rate.ok()) {
        fmt::print(stderr, "loopback_copy: {}\n", rate.error().text);
        return 1;
    }
    fmt::print("{:.0f}\n", *rate);
    return 0;
}
