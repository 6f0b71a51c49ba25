// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/resolve.h"

#include "migration/channel/socket_channel.h"
#include "vmm/sandbox/sandbox.h"

#include <atomic>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>

namespace godwit::migration {

namespace {

// What a look-up and whoever waits for it share; the last of them frees it.
struct LookUp {
    explicit LookUp(EventFd event) : done(std::move(event)) {}
    ~LookUp() {
        if (found != nullptr)
            ::freeaddrinfo(found);
    }
    std::string host;
    std::string port;
    addrinfo hints{};
    addrinfo* found = nullptr;
    int failure = 0;
    std::atomic<bool> finished{false};
    EventFd done;

    void run() {
        failure = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
        finished = true;
        done.signal();
    }
};

} // namespace

Result<AddressList> look_up(const Address& address, std::chrono::milliseconds timeout, const Cancel* cancel) {
    const auto wanted = std::make_shared<LookUp>(TRY(EventFd::create()));
    wanted->host = address.host;
    wanted->port = std::to_string(address.port);
    wanted->hints.ai_socktype = SOCK_STREAM;
    // An address that is no name needs nobody to be asked.
    wanted->hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    wanted->run();
    if (wanted->failure == EAI_NONAME) {
        wanted->finished = false;
        (void)wanted->done.consume();
        wanted->hints.ai_flags = AI_NUMERICSERV;
        std::thread{[wanted] {
            sandbox::enter(sandbox::Role::Source);
            wanted->run();
        }}.detach();
        const Fd event = Fd::adopt(::fcntl(wanted->done.fd(), F_DUPFD_CLOEXEC, 0));
        if (!TRY(wait_ready(event, POLLIN, timeout, cancel)) || !wanted->finished)
            return error(ErrorCode::Disconnected, "look up '{}': no answer within {} ms", address.host,
                         timeout.count());
    }
    if (wanted->failure != 0)
        return error(ErrorCode::InvalidInput, "look up '{}': {}", address.host,
                     ::gai_strerror(wanted->failure));
    return AddressList{std::exchange(wanted->found, nullptr), &::freeaddrinfo};
}

} // namespace godwit::migration
