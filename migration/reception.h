// SPDX-License-Identifier: Apache-2.0
//
// The door of a destination: it goes on accepting connections while a migration is under way and while the
// guest runs here, reads the first frame of each under a deadline, and hands it to whoever deals with frames
// of that type. A slow, silent or hostile connection holds up nobody else.
//
// Threads: one accepts, each connection has one of its own until its route returns. Routes are called there.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/channel/listener.h"
#include "migration/protocol/session.h"

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <thread>

namespace godwit::migration {

struct ReceptionOptions {
    // Until the first frame is here, everything included.
    std::chrono::milliseconds first_frame{5'000};
    // Connections whose first frame is not here. One more makes the oldest of them go.
    std::size_t waiting = 16;
    // What stands in front of the socket before anything is read from it; may be empty.
    std::function<Result<std::unique_ptr<Channel>>(std::unique_ptr<Channel>)> secure;
};

class Reception {
  public:
    // May keep the connection. Its channel ends every wait when the reception does.
    using Route = std::function<void(Connection)>;
    // Nobody can connect any more: the one connection that was handed over is used up.
    using Closed = std::function<void(const Error&)>;

    Reception(Listener listener, std::unique_ptr<Cancel> ending, ReceptionOptions options)
        : listener_(std::move(listener)), ending_(std::move(ending)), options_(std::move(options)) {}
    static Result<std::unique_ptr<Reception>> open(const Address& address, ReceptionOptions options = {});
    // Ends what goes on in routes, and waits for it.
    ~Reception();

    // Before start(). A first frame that has no route is refused.
    void route(Message first, Route route) { routes_[first] = std::move(route); }
    void start(Closed closed = {});

    const Address& address() const { return listener_.address(); }
    bool reachable_from_outside() const { return listener_.reachable_from_outside(); }

  private:
    struct Visitor {
        std::thread thread;
        std::unique_ptr<Cancel> cancel; // the deadline, or a newer connection
        std::chrono::steady_clock::time_point deadline;
        std::atomic<bool> greeted{false};
        std::atomic<bool> gone{false};
    };
    void thread_main(const Closed& closed);
    Status admit();
    // Those that are gone, and those that have waited for too long.
    std::chrono::milliseconds sort_out();
    void make_room();
    void greet(Visitor& visitor, std::unique_ptr<Channel> channel);
    Result<Connection> first_frame(Visitor& visitor, std::unique_ptr<Channel> channel);

    Listener listener_;
    std::unique_ptr<Cancel> ending_;
    ReceptionOptions options_;
    std::map<Message, Route> routes_;
    std::list<Visitor> visitors_; // thread_'s
    std::thread thread_;          // last: uses everything above
};

// Refuses a connection with an ERROR that has this reason.
void refuse(Connection connection, const Error& why);

} // namespace godwit::migration
