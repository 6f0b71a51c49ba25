// SPDX-License-Identifier: Apache-2.0
//
// The connections that a migration has besides its first one, at the destination: one thread and one
// RamReceiver for each. None reads a byte of a round before every page of the round before it is in place on
// all of them: no old copy of a page can overwrite a newer one, whatever the network or a hostile source
// does.
//
// Threads: attach() from any; the rest from the one that serves the first connection.
#pragma once

#include "migration/ram/outgoing_links.h" // RoundKind
#include "migration/ram/receiver.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace godwit::migration {

class IncomingLinks {
  public:
    // `connections` counts the first one too. All must outlive it; `cancel` may be null.
    static Result<std::unique_ptr<IncomingLinks>> create(IncomingRam& ram, std::uint32_t connections,
                                                         const Cancel* cancel,
                                                         Compression compression = Compression::None);
    // Closes the connections.
    ~IncomingLinks();
    // Stops the threads, which takes no longer than a wait for a socket needs to be interrupted: afterwards
    // nothing writes to guest memory. The connections stay open: the source should hear the reason, on the
    // first one, before it sees an end.
    void halt();

    // Requested when a connection fails: it then ends the waits of the first one too.
    const Cancel* stop() const { return stop_.get(); }
    // Why the first connection's wait ended: `error`, or why another one has failed.
    Error reason(Error error);

    // A connection whose ATTACH was read. An error leaves it with the caller.
    Status attach(std::uint32_t index, Connection& connection);

    // Lets all connections read the next round. Precondition: the one before has ended.
    void begin_round(std::uint32_t number);
    // Waits until every connection has ended its part; an error when for `timeout` nothing arrives, and when
    // `look`, which is called from time to time, has one.
    Status end_round(RoundKind kind, std::chrono::milliseconds timeout, const std::function<Status()>& look);

    // Of these connections, since the start.
    std::uint64_t bytes_read() const { return bytes_read_; }

  private:
    struct Link {
        Link(Connection connection, IncomingRam& ram, std::unique_ptr<Codec> codec)
            : channel(std::move(connection.channel)),
              session(std::move(connection.link), std::move(connection.first)),
              receiver(ram, session, std::move(codec)) {}
        std::unique_ptr<Channel> channel;
        LinkDestinationSession session;
        RamReceiver receiver;
        std::uint64_t counted = 0; // of what the channel has read
        std::uint32_t done = 0;    // the round it has ended; under mutex_
        RoundKind kind{};          // of that round; under mutex_
        std::thread thread;
    };

    IncomingLinks(IncomingRam& ram, std::uint32_t connections, std::unique_ptr<Cancel> stop,
                  Compression compression)
        : ram_(ram), compression_(compression), stop_(std::move(stop)), links_(connections - 1) {}
    void thread_main(Link& link, std::uint32_t index);
    Result<RoundKind> serve(Link& link, std::uint32_t number);

    IncomingRam& ram_;
    const Compression compression_;
    std::unique_ptr<Cancel> stop_;
    std::atomic<std::uint64_t> bytes_read_{0};

    std::mutex mutex_;
    std::condition_variable changed_;
    // Under mutex_:
    std::vector<std::unique_ptr<Link>> links_; // by index - 1; null until it attaches
    std::uint32_t round_ = 0;                  // which they may read
    bool closing_ = false;
    std::optional<Error> failure_; // the first
};

} // namespace godwit::migration
