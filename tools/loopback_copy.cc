// SPDX-License-Identifier: Apache-2.0
//
// The ceiling that a migration over the loopback can reach: a plain TCP copy from memory to memory, every
// byte once. Usage: loopback_copy MEGABYTES. Prints megabytes (10^6 bytes) per second.
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

Result<double> copy(std::size_t size) {
    const Mapping source = TRY(memory(size));
    const Mapping destination = TRY(memory(size));
    std::memset(source.data(), 0x5a, size);

    const Fd listener = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    TRY(check(::bind(listener.get(), any, length), "bind"));
    TRY(check(::listen(listener.get(), 1), "listen"));
    TRY(check(::getsockname(listener.get(), any, &length), "getsockname"));
    const Fd out = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    TRY(check(::connect(out.get(), any, length), "connect"));
    const Fd in = Fd::adopt(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    TRY(check(in.get(), "accept"));

    const auto begin = std::chrono::steady_clock::now();
    std::thread receiver{[&] { receive_all(in.get(), destination.bytes()); }};
    Status sent;
    for (auto left = source.bytes(); !left.empty() && sent.ok();) {
        const ssize_t count = ::send(out.get(), left.data(), std::min(left.size(), kPiece), MSG_NOSIGNAL);
        sent = check(static_cast<int>(count), "send");
        if (sent.ok())
            left = left.subspan(static_cast<std::size_t>(count));
    }
    ::shutdown(out.get(), SHUT_WR);
    receiver.join();
    TRY(std::move(sent));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(size) / 1e6 / took.count();
}

} // namespace

int main(int argc, char** argv) {
    const long megabytes = argc == 2 ? std::atol(argv[1]) : 0;
    if (megabytes < 1 || megabytes > 65536) {
        std::fputs("usage: loopback_copy MEGABYTES (1 to 65536)\n", stderr);
        return 2;
    }
    const auto rate = copy(static_cast<std::size_t>(megabytes) << 20);
    if (!rate.ok()) {
        fmt::print(stderr, "loopback_copy: {}\n", rate.error().text);
        return 1;
    }
    fmt::print("{:.0f}\n", *rate);
    return 0;
}
