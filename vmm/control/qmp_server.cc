// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_server.h"

#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/control/json_stream.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace godwit::control {

namespace {

constexpr std::size_t kMaxUnsent = 1024 * 1024;
constexpr std::size_t kMaxClients = 16;
constexpr int kBacklog = 8;

log::RateLimit provoked; // by whoever may connect

Json timestamp() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    return {{"seconds", micros / 1000000}, {"microseconds", micros % 1000000}};
}

Json greeting() {
    return {{"QMP",
             {{"version",
               {{"qemu", {{"major", 7}, {"minor", 2}, {"micro", 0}}}, {"package", "godwit " GODWIT_VERSION}}},
              {"capabilities", Json::array()}}}};
}

// What came beside the bytes becomes ours, also where it does not fit.
ssize_t receive_with_descriptors(const Fd& socket, std::span<char> bytes, Descriptors& descriptors) {
    constexpr std::size_t kAtOnce = 8;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kAtOnce * sizeof(int))> control{};
    iovec data{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
    if (count < 0)
        return count;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, reinterpret_cast<const char*>(part) + at, sizeof fd);
            descriptors.arrived(Fd::adopt(fd));
        }
    }
    return count;
}

} // namespace

struct QmpServer::Client {
    std::uint64_t id;
    Fd fd;
    std::unique_ptr<Watch> watch;
    JsonStream requests;
    Descriptors descriptors;
    std::string unsent;
    bool awaits = false; // the answer to its last request; until then no other one is looked at
    bool negotiated = false;
    bool silent = false; // it sends no more
    bool deaf = false;   // it reads no more: what it has asked for is done all the same
    bool broken = false; // dropped, whatever it has asked for

    bool done() const { return broken || (silent && !awaits && requests.size() == 0 && unsent.empty()); }
};

void Responder::send(Json message) const {
    if (id_)
        message["id"] = *id_;
    const auto server = server_.lock();
    if (server == nullptr)
        return;
    (*server)->loop_.post([weak = server_, client = client_, message = std::move(message)] {
        if (const auto alive = weak.lock())
            (*alive)->answer(client, message);
    });
}

void Responder::success(Json value) const {
    send({{"return", std::move(value)}});
}

void Responder::failure(const Error& error) const {
    send({{"error", {{"class", "GenericError"}, {"desc", error.text}, {"code", to_string(error.code)}}}});
}

void Responder::failure(std::string_view error_class, std::string_view text) const {
    send({{"error", {{"class", error_class}, {"desc", text}}}});
}

Result<std::shared_ptr<const UnixListener>> QmpServer::listen(const std::string& path) {
    return std::make_shared<const UnixListener>(TRY_IN(UnixListener::open(path, kBacklog), "control socket"));
}

Result<std::unique_ptr<QmpServer>> QmpServer::create(Loop& loop, std::shared_ptr<const UnixListener> listener,
                                                     Handler handler) {
    std::unique_ptr<QmpServer> server{new QmpServer{loop, std::move(listener), std::move(handler)}};
    server->watch_ = TRY(loop.watch(server->listener_->get(), EPOLLIN,
                                    [raw = server.get()](std::uint32_t) { raw->accept_clients(); }));
    return server;
}

QmpServer::QmpServer(Loop& loop, std::shared_ptr<const UnixListener> listener, Handler handler)
    : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)),
      self_(std::make_shared<QmpServer*>(this)) {}

QmpServer::~QmpServer() = default;

void QmpServer::accept_clients() {
    for (;;) {
        const int raw = ::accept4(listener_->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (raw < 0)
            return;
        Fd fd = Fd::adopt(raw);
        if (clients_.size() >= kMaxClients) {
            provoked.warning("control socket: more than {} clients; the new one is refused", kMaxClients);
            continue;
        }
        const std::uint64_t id = next_client_++;
        auto client = std::make_unique<Client>();
        client->id = id;
        client->fd = std::move(fd);
        auto watch = loop_.watch(client->fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP,
                                 [this, id](std::uint32_t events) { client_ready(id, events); });
        if (!watch.ok()) {
            log::warning("control socket: {}", watch.error().text);
            continue;
        }
        client->watch = std::move(watch).value();
        send(*client, greeting());
        clients_.emplace(id, std::move(client));
    }
}

void QmpServer::client_ready(std::uint64_t id, std::uint32_t events) {
    const auto found = clients_.find(id);
    if (found == clients_.end())
        return;
    Client& client = *found->second;
    client.deaf = client.deaf || (events & EPOLLHUP) != 0; // both directions are shut down
    flush(client);
    serve(client);
    if (client.done())
        clients_.erase(found);
}

// A request waits until the answer to the one before it is on its way: what a client asks for is not done
// faster than it reads, and whoever asks for the end has all answers by then.
void QmpServer::serve(Client& client) {
    do {
        while (!client.awaits && !client.broken && client.unsent.empty()) {
            const auto value = client.requests.next();
            if (!value)
                break;
            received(client, *value);
        }
        if (client.requests.too_long())
            return give_up(client, "the request is too long");
    } while (read(client));
    if (client.silent && !client.awaits && client.unsent.empty() && client.requests.size() > 0)
        give_up(client, "the request has no end");
}

bool QmpServer::read(Client& client) {
    char buffer[4096];
    if (client.silent || client.broken || client.requests.size() > JsonStream::kMaxValue)
        return false; // what is there comes first
    const ssize_t count = receive_with_descriptors(client.fd, buffer, client.descriptors);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client.silent = client.deaf = true;
        return errno == EINTR;
    }
    client.silent = count == 0;
    client.requests.append({buffer, static_cast<std::size_t>(count)});
    return count > 0;
}

void QmpServer::give_up(Client& client, std::string_view why) {
    client.requests = {};
    client.silent = true;
    send(client, {{"error", {{"class", "GenericError"}, {"desc", why}}}});
}

void QmpServer::received(Client& client, const std::string& text) {
    const Json parsed = parse_json(text);
    std::optional<Json> id;
    const auto refuse = [&](std::string_view error_class, std::string_view why) {
        Json message{{"error", {{"class", error_class}, {"desc", why}}}};
        if (id)
            message["id"] = *id;
        send(client, message);
    };
    if (!parsed.is_object())
        return refuse("GenericError", "the request is not a JSON object");
    if (const auto given = parsed.find("id"); given != parsed.end())
        id = *given;
    const auto command = parsed.find("execute");
    if (command == parsed.end() || !command->is_string())
        return refuse("GenericError", "the request has no 'execute' with a command's name");
    for (const auto& [key, value] : parsed.items()) {
        if (key != "execute" && key != "arguments" && key != "id")
            return refuse("GenericError", fmt::format("the request has an unknown member '{}'", key));
    }
    Request request{command->get<std::string>(), parsed.value("arguments", Json::object()),
                    &client.descriptors};
    if (!request.arguments.is_object())
        return refuse("GenericError", "'arguments' is not an object");
    client.awaits = true;
    const Responder responder{self_, client.id, std::move(id)};
    if (request.command == "qmp_capabilities")
        return negotiate(client, request, responder);
    if (!client.negotiated)
        return responder.failure("CommandNotFound",
                                 "expecting capabilities negotiation with 'qmp_capabilities'");
    if (!handler_)
        return responder.failure("GenericError", "the process is about to end");
    handler_(request, responder);
}

void QmpServer::end_requests() {
    handler_ = nullptr;
}

// As QEMU does: once, and the greeting offers nothing that could be enabled.
void QmpServer::negotiate(Client& client, const Request& request, const Responder& responder) {
    if (client.negotiated)
        return responder.failure("CommandNotFound",
                                 "capabilities were negotiated before; this one has no effect");
    for (const auto& [key, value] : request.arguments.items()) {
        if (key != "enable" || !value.is_array())
            return responder.failure(
                invalid_input("qmp_capabilities: '{}' is not a list named 'enable'", key));
        if (!value.empty())
            return responder.failure(
                invalid_input("qmp_capabilities: capability {} is not available", json_text(value.front())));
    }
    client.negotiated = true;
    responder.success();
}

void QmpServer::send(Client& client, const Json& message) {
    client.unsent += json_text(message, {.ascii = true});
    client.unsent += "\r\n";
    flush(client);
    if (client.unsent.size() > kMaxUnsent) {
        provoked.warning("control socket: a client does not read its answers and is dropped");
        client.broken = true;
        ::shutdown(client.fd.get(), SHUT_RDWR); // so that it is seen to be ready
    }
}

void QmpServer::flush(Client& client) {
    while (!client.unsent.empty() && !client.deaf) {
        const ssize_t count =
            ::send(client.fd.get(), client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        client.deaf = count < 0;
        if (count > 0)
            client.unsent.erase(0, static_cast<std::size_t>(count));
    }
    if (client.deaf)
        client.unsent.clear();
}

void QmpServer::answer(std::uint64_t id, const Json& message) {
    const auto found = clients_.find(id);
    if (found == clients_.end())
        return;
    Client& client = *found->second;
    client.awaits = false;
    send(client, message);
    serve(client);
    if (client.done())
        clients_.erase(found);
}

void QmpServer::broadcast(std::string name, Json data) {
    Json event{{"event", std::move(name)}, {"data", std::move(data)}, {"timestamp", timestamp()}};
    loop_.post([weak = std::weak_ptr{self_}, event = std::move(event)] {
        const auto alive = weak.lock();
        if (alive == nullptr)
            return;
        for (auto& [id, client] : (*alive)->clients_) {
            if (client->negotiated)
                (*alive)->send(*client, event);
        }
    });
}

} // namespace godwit::control
