// SPDX-License-Identifier: Apache-2.0
//
// The control socket's server side: QMP (QEMU Machine Protocol) over a unix socket. A greeting, capabilities
// negotiation, then JSON objects in each direction, with asynchronous events in between.
// What a client may send is bounded; a client that does not read is dropped; one that has shut down its
// writing side gets the answers to what it sent. Threads: owned by the loop; broadcast() and Responder from
// any thread.
#pragma once

#include "vmm/base/unix_socket.h"
#include "vmm/control/descriptors.h"
#include "vmm/loop/loop.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace godwit::control {

using Json = nlohmann::json;

struct Request {
    std::string command;
    Json arguments;           // an object, empty when the client gave none
    Descriptors* descriptors; // the client's; while the handler runs
};

class QmpServer;

// Answers one request, exactly once, from any thread; the client may be gone by then.
class Responder {
  public:
    void success(Json value = Json::object()) const;
    void failure(const Error& error) const;
    // QMP error class: "GenericError", "CommandNotFound".
    void failure(std::string_view error_class, std::string_view text) const;

  private:
    friend class QmpServer;
    Responder(std::weak_ptr<QmpServer*> server, std::uint64_t client, std::optional<Json> id)
        : server_(std::move(server)), client_(client), id_(std::move(id)) {}
    void send(Json message) const;

    std::weak_ptr<QmpServer*> server_;
    std::uint64_t client_;
    std::optional<Json> id_; // any JSON value, null too; returned as it came
};

class QmpServer {
  public:
    using Handler = std::function<void(const Request&, const Responder&)>;

    // Refuses a path where another process listens; a left-over socket is replaced. Its file goes with
    // whoever lets go of it last.
    static Result<std::shared_ptr<const UnixListener>> listen(const std::string& path);
    // Before the loop runs, or on it.
    static Result<std::unique_ptr<QmpServer>> create(Loop& loop, std::shared_ptr<const UnixListener> listener,
                                                     Handler handler);
    ~QmpServer();

    // On the loop's thread: from now on a request is answered with an error and reaches no handler, whose
    // machine is about to go. Events and answers that are due still go out.
    void end_requests();

    // {"event": name, "data": data, "timestamp": ...} to every client that has negotiated. Any thread.
    void broadcast(std::string name, Json data = Json::object());

  private:
    friend class Responder;
    struct Client;

    QmpServer(Loop& loop, std::shared_ptr<const UnixListener> listener, Handler handler);
    void accept_clients();
    void client_ready(std::uint64_t id, std::uint32_t events);
    // Deals with what was sent, one request after the other: the next one when the last one is answered.
    void serve(Client& client);
    bool read(Client& client);
    void give_up(Client& client, std::string_view why);
    void received(Client& client, const std::string& text);
    void negotiate(Client& client, const Request& request, const Responder& responder);
    void send(Client& client, const Json& message);
    void flush(Client& client);
    void answer(std::uint64_t client, const Json& message);

    Loop& loop_;
    const std::shared_ptr<const UnixListener> listener_;
    Handler handler_; // none when requests have ended
    std::unique_ptr<Watch> watch_;
    std::map<std::uint64_t, std::unique_ptr<Client>> clients_;
    std::uint64_t next_client_ = 1;
    // Dies with the server, so that answers which come later find nobody.
    std::shared_ptr<QmpServer*> self_;
};

} // namespace godwit::control
