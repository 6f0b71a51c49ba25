// SPDX-License-Identifier: Apache-2.0
//
// How fast RAM moves, without a guest, a machine and its start-up: one migration of written memory over the
// loopback, between two processes. Beside tools/loopback_copy, which moves the same bytes without any of
// what a migration adds. Usage: transfer_speed MEGABYTES [CONNECTIONS] [warm]; warm: the destination's memory
// was touched before. Prints megabytes (10^6 bytes) per second, and CPU seconds per GiB of both sides.
#include "migration/attachments.h"
#include "migration/channel/socket_channel.h"
#include "migration/destination.h"
#include "migration/source.h"
#include "migration/test_port.h"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <netinet/in.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace godwit;
using namespace godwit::migration;

namespace {

struct Wanted {
    std::uint64_t bytes = 0;
    std::uint32_t connections = 1;
    bool warm = false;
};

struct Ends {
    std::vector<std::unique_ptr<Channel>> source;
    std::vector<std::unique_ptr<Channel>> destination;
};

Result<Ends> connect(std::uint32_t connections) {
    const auto check = [](int result, const char* what) {
        return result < 0 ? Status{system_error(errno, what)} : Status{};
    };
    const Fd listener = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    TRY(check(::bind(listener.get(), any, length), "bind"));
    TRY(check(::listen(listener.get(), 1), "listen"));
    TRY(check(::getsockname(listener.get(), any, &length), "getsockname"));
    Ends ends;
    for (std::uint32_t i = 0; i < connections; ++i) {
        Fd near = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        TRY(check(::connect(near.get(), any, length), "connect"));
        Fd far = Fd::adopt(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        ends.source.push_back(TRY(SocketChannel::adopt(std::move(near), "destination")));
        ends.destination.push_back(TRY(SocketChannel::adopt(std::move(far), "source")));
    }
    return ends;
}

double cpu_seconds() {
    rusage used{};
    (void)::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// As a destination's door does it.
Status attach(std::unique_ptr<Channel> channel, Attachments& attachments) {
    FrameLink link{*channel};
    Frame first = TRY(link.receive());
    Connection connection{std::move(channel), std::move(link), std::move(first)};
    return attachments.attach(connection);
}

// Gives the CPU seconds.
Result<double> destination(const Wanted& wanted, Ends ends, const Fd& ready) {
    ends.source.clear();
    test::World world;
    test::TestPort port{world, wanted.bytes};
    if (wanted.warm && ::madvise(port.memory().host({}), wanted.bytes, MADV_POPULATE_WRITE) != 0)
        return system_error(errno, "touch memory");
    if (::write(ready.get(), "", 1) != 1)
        return system_error(errno, "write");
    const double before = cpu_seconds();
    Attachments attachments;
    DestinationOptions options;
    options.attachments = &attachments;
    Progress progress;
    std::jthread door{[&] {
        for (std::size_t i = 1; i < ends.destination.size(); ++i)
            (void)attach(std::move(ends.destination[i]), attachments);
    }};
    (void)TRY(receive(port, *ends.destination.front(), options, progress, nullptr));
    return cpu_seconds() - before;
}

void fill(GuestMemory& memory) {
    std::uint64_t value = 1;
    for (std::uint64_t at = 0; at < memory.size(); at += sizeof value) {
        value = value * 6364136223846793005 + 1442695040888963407;
        std::memcpy(memory.host(RamOffset{at}), &value, sizeof value);
    }
}

Result<std::string> measure(const Wanted& wanted) {
    Ends ends = TRY(connect(wanted.connections));
    int pipes[2];
    if (::pipe2(pipes, O_CLOEXEC) != 0)
        return system_error(errno, "pipe");
    const Fd out = Fd::adopt(pipes[0]);
    const Fd in = Fd::adopt(pipes[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        const auto used = destination(wanted, std::move(ends), in);
        if (!used.ok())
            fmt::print(stderr, "transfer_speed: destination: {}\n", used.error().text);
        else if (::write(in.get(), &*used, sizeof *used) == sizeof *used)
            ::_exit(0);
        ::_exit(1);
    }
    ends.destination.clear();
    test::World world;
    test::TestPort port{world, wanted.bytes};
    port.boot(RunState::Paused);
    fill(port.memory());
    char ready;
    if (::read(out.get(), &ready, 1) != 1)
        return system_error(errno, "wait for the destination");

    Parameters parameters;
    parameters.connections = wanted.connections;
    LiveParameters live;
    live.set(parameters);
    SourceOptions options;
    options.parameters = &live;
    options.connect = [&, next = std::size_t{1}](const Cancel*) mutable -> Result<std::unique_ptr<Channel>> {
        return std::move(ends.source[next++]);
    };
    Progress progress;
    const double before = cpu_seconds();
    const Report report = TRY(migrate(port, *ends.source.front(), options, progress, nullptr));
    const double here = cpu_seconds() - before;
    double there = 0;
    if (::read(out.get(), &there, sizeof there) != sizeof there)
        return system_error(errno, "read what the destination used");
    (void)::waitpid(child, nullptr, 0);
    const double gibibytes = static_cast<double>(wanted.bytes) / (1 << 30);
    return fmt::format("{:.0f} {:.3f} {:.3f}",
                       static_cast<double>(wanted.bytes) / static_cast<double>(report.total.count()),
                       here / gibibytes, there / gibibytes);
}

} // namespace

int main(int argc, char** argv) {
    const long megabytes = argc > 1 ? std::atol(argv[1]) : 0;
    const long connections = argc > 2 ? std::atol(argv[2]) : 1;
    const bool warm = argc > 3 && std::string_view{argv[3]} == "warm";
    if (argc > 4 || (argc == 4 && !warm) || megabytes < 1 || megabytes > 65536 || connections < 1 ||
        connections > long{kMaxConnections}) {
        std::fputs("usage: transfer_speed MEGABYTES (1 to 65536) [CONNECTIONS (1 to 16)] [warm]\n", stderr);
        return 2;
    }
    const auto line =
        measure({static_cast<std::uint64_t>(megabytes) << 20, static_cast<std::uint32_t>(connections), warm});
    if (!line.ok()) {
        fmt::print(stderr, "transfer_speed: {}\n", line.error().text);
        return 1;
    }
    fmt::print("{}\n", *line);
    return 0;
}
