// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/qmp_server.h"

#include "vmm/base/json.h"
#include "vmm/base/log.h"
#include "vmm/base/unix_socket.h"

#include <cerrno>
#include <chrono>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace godwit::control {

namespace {

constexpr std::size_t kMaxLine = 64 * 1024;
constexpr std::size_t kMaxUnsent = 1024 * 1024;
constexpr std::size_t kMaxClients = 16;

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

} // namespace

struct QmpServer::Client {
    std::uint64_t id;
    Fd fd;
    std::unique_ptr<Watch> watch;
    std::string received;
    std::string unsent;
    bool negotiated = false;
    bool closing = false;
};

void Responder::send(Json message) const {
    if (!id_.is_null())
        message["id"] = id_;
    const auto server = server_.lock();
    if (server == nullptr)
        return;
    (*server)->loop_.post([weak = server_, client = client_, message = std::move(message)] {
        if (const auto alive = weak.lock())
            (*alive)->send_to(client, message);
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

Result<std::unique_ptr<QmpServer>> QmpServer::create(Loop& loop, const std::string& path, Handler handler) {
    Fd listener = TRY_IN(listen_unix(path), "control socket");
    std::unique_ptr<QmpServer> server{new QmpServer{loop, std::move(listener), path, std::move(handler)}};
    server->watch_ = TRY(loop.watch(server->listener_.get(), EPOLLIN,
                                    [raw = server.get()](std::uint32_t) { raw->accept_clients(); }));
    return server;
}

QmpServer::QmpServer(Loop& loop, Fd listener, std::string path, Handler handler)
    : loop_(loop), listener_(std::move(listener)), path_(std::move(path)), handler_(std::move(handler)),
      self_(std::make_shared<QmpServer*>(this)) {}

QmpServer::~QmpServer() {
    ::unlink(path_.c_str());
}

void QmpServer::accept_clients() {
    for (;;) {
        const int raw = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (raw < 0)
            return;
        Fd fd = Fd::adopt(raw);
        if (clients_.size() >= kMaxClients) {
            log::warning("control socket: more than {} clients; the new one is refused", kMaxClients);
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

void QmpServer::client_ready(std::uint64_t id, std::uint32_t) {
    const auto found = clients_.find(id);
    if (found == clients_.end())
        return;
    Client& client = *found->second;
    char buffer[4096];
    ssize_t count;
    while ((count = ::read(client.fd.get(), buffer, sizeof buffer)) > 0 && !client.closing) {
        client.received.append(buffer, static_cast<std::size_t>(count));
        std::size_t start = 0;
        for (std::size_t end; (end = client.received.find('\n', start)) != std::string::npos; start = end + 1)
            line_received(client, std::string_view{client.received}.substr(start, end - start));
        client.received.erase(0, start);
        if (client.received.size() > kMaxLine) {
            send(client, {{"error", {{"class", "GenericError"}, {"desc", "the request is too long"}}}});
            client.closing = true;
        }
    }
    const bool gone = count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR);
    if (!flush(client) || gone || client.closing)
        clients_.erase(found);
}

void QmpServer::line_received(Client& client, std::string_view line) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos)
        return;
    const auto refuse = [&](std::string_view error_class, std::string_view text, const Json& id = nullptr) {
        Json message{{"error", {{"class", error_class}, {"desc", text}}}};
        if (!id.is_null())
            message["id"] = id;
        send(client, message);
    };
    const Json parsed = parse_json(line);
    if (!parsed.is_object())
        return refuse("GenericError", "the request is not a JSON object");
    const Json id = parsed.value("id", Json{});
    const auto command = parsed.find("execute");
    if (command == parsed.end() || !command->is_string())
        return refuse("GenericError", "the request has no 'execute' with a command's name", id);
    for (const auto& [key, value] : parsed.items()) {
        if (key != "execute" && key != "arguments" && key != "id")
            return refuse("GenericError", fmt::format("the request has an unknown member '{}'", key), id);
    }
    Request request{command->get<std::string>(), parsed.value("arguments", Json::object())};
    if (!request.arguments.is_object())
        return refuse("GenericError", "'arguments' is not an object", id);
    if (request.command == "qmp_capabilities") {
        client.negotiated = true;
        Json message{{"return", Json::object()}};
        if (!id.is_null())
            message["id"] = id;
        return send(client, message);
    }
    if (!client.negotiated)
        return refuse("CommandNotFound", "expecting capabilities negotiation with 'qmp_capabilities'", id);
    handler_(request, Responder{self_, client.id, id});
}

void QmpServer::send(Client& client, const Json& message) {
    client.unsent += json_text(message, {.ascii = true});
    client.unsent += "\r\n";
    flush(client);
    if (client.unsent.size() > kMaxUnsent) {
        log::warning("control socket: a client does not read its answers and is dropped");
        client.closing = true;
        ::shutdown(client.fd.get(), SHUT_RDWR);
    }
}

bool QmpServer::flush(Client& client) {
    while (!client.unsent.empty()) {
        const ssize_t count =
            ::send(client.fd.get(), client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        client.unsent.erase(0, static_cast<std::size_t>(count));
    }
    return true;
}

void QmpServer::send_to(std::uint64_t client, const Json& message) {
    if (const auto found = clients_.find(client); found != clients_.end())
        send(*found->second, message);
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
