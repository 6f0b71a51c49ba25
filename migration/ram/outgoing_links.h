// SPDX-License-Identifier: Apache-2.0
//
// The source's RAM over several connections: one thread and one RamSender for each. The first connection is
// the migration's own and is served by the caller's thread. Every connection ends its part of a round with a
// ROUND_END of its own, so that none can run ahead of the others: a round begins when the one before it is in
// place everywhere.
//
// Threads: the caller's, which must be one; the others live in here.
#pragma once

#include "migration/ram/sender.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace godwit::migration {

struct TransferOptions {
    Compression compression = Compression::None;
    // Asked again and again: bytes a second of all connections, while the guest runs; 0 for no limit.
    std::function<std::uint64_t()> max_bandwidth;
};

enum class RoundKind { Live, Final }; // the guest runs, or is paused

class OutgoingLinks {
  public:
    // All must outlive it; `cancel` may be null.
    static Result<std::unique_ptr<OutgoingLinks>> create(const GuestMemory& memory, SourceSession& main,
                                                         Progress& progress, const Cancel* cancel,
                                                         TransferOptions options = {});
    // Closes the connections.
    ~OutgoingLinks();
    // Stops the threads, which takes no longer than a wait for a socket needs to be interrupted. The
    // connections stay open: the destination should hear the reason, on the first one, before it sees an end.
    void halt();

    // One more connection of the migration `id`. Precondition: no round was sent.
    Status attach(std::unique_ptr<Channel> channel, const MigrationId& id);
    std::uint32_t connections() const { return 1 + static_cast<std::uint32_t>(links_.size()); }

    // Of what all of them send together; null without one.
    RateLimit* limit() { return options_.max_bandwidth ? &limit_ : nullptr; }

    // Of all but the first. Precondition: no round is being sent.
    std::uint64_t bytes_written() const;

    // Sends every page whose bit is set, each over one of the connections. The caller says on the first one
    // that the round ends.
    Result<RoundCount> send_round(const PageBitmap& pages, std::uint32_t number, RoundKind kind);
    // Until the destination says something on the first connection. An error as soon as another one turns out
    // to be refused or closed: what went into it never arrives, and the destination waits for it.
    Status await_answer();

  private:
    struct Link {
        Link(std::unique_ptr<Channel> connection, const GuestMemory& memory, Progress& progress,
             std::unique_ptr<Codec> codec, RateLimit* limit)
            : channel(std::move(connection)), session(*channel),
              sender(memory, session, progress, std::move(codec), limit) {}
        std::unique_ptr<Channel> channel;
        LinkSourceSession session;
        RamSender sender;
        std::thread thread;
    };
    struct Task {
        RoundWork& work;
        std::uint32_t number;
        RoundKind kind;
    };

    OutgoingLinks(const GuestMemory& memory, SourceSession& main, Progress& progress,
                  std::unique_ptr<Cancel> stop, std::unique_ptr<Codec> codec, TransferOptions options)
        : memory_(memory), main_(main), progress_(progress), stop_(std::move(stop)),
          options_(std::move(options)), limit_(options_.max_bandwidth),
          sender_(memory, main, progress, std::move(codec), limit()) {}
    void thread_main(Link& link, std::uint32_t index);
    static Result<RoundCount> serve(Link& link, const Task& task);
    Result<RoundCount> watch_links();

    const GuestMemory& memory_;
    SourceSession& main_;
    Progress& progress_;
    std::unique_ptr<Cancel> stop_;
    TransferOptions options_;
    RateLimit limit_;
    RamSender sender_; // of the first connection
    std::vector<std::unique_ptr<Link>> links_;

    std::mutex mutex_;
    std::condition_variable changed_;
    // Under mutex_:
    std::optional<Task> task_;
    std::uint64_t tasks_ = 0; // counts them
    std::size_t busy_ = 0;    // links that have not done the task
    bool closing_ = false;
    RoundCount count_;
    std::optional<Error> failure_; // the first
};

} // namespace godwit::migration
