// SPDX-License-Identifier: Apache-2.0
//
// What a destination remembers of its migrations, so that it can tell a source that asks who has the guest.
// Every step goes through protocol/ownership.h's table under one lock: COMMIT and QUERY exclude each other.
// Any thread.
#pragma once

#include "migration/channel/cancel.h"
#include "migration/protocol/ownership.h"
#include "migration/protocol/payloads.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace godwit::migration {

class Ledger {
  public:
    // Older ones are forgotten: whoever asks for them learns that they are not known.
    static constexpr std::size_t kRemembered = 64;

    // HELLO. An id that was here before is refused. `fence`, which may be null, is requested when a QUERY
    // decides before a COMMIT does; it must live until taken_over() or discarded().
    Status enter(const MigrationId& id, Cancel* fence);
    // COMMIT. False when a QUERY was first: the guest must not run here.
    bool claim(const MigrationId& id);
    void taken_over(const MigrationId& id, std::chrono::microseconds duration);
    // Everything that arrived is thrown away and the disks are let go, for this reason.
    void discarded(const MigrationId& id, const Error& why);
    bool is_fenced(const MigrationId& id) const;

    struct Answer {
        Message message; // RUNNING, RELINQUISH, UNKNOWN
        Bytes body;
    };
    // QUERY. Waits, at most for `limit`, while a guest is being started or thrown away; nothing when it is
    // not decided by then.
    std::optional<Answer> ask(const MigrationId& id, std::chrono::milliseconds limit);
    // Ends all waiting.
    void close();

  private:
    struct Entry {
        MigrationId id;
        Fate fate = Fate::Unknown;
        Cancel* fence = nullptr;
        std::chrono::microseconds take_over{};
        std::optional<Error> why; // of Never
    };
    Entry* find(const MigrationId& id);
    static const FateRule* step(Entry& entry, FateStep step);
    Answer answer(const MigrationId& id, Message message, const Entry* entry) const;

    mutable std::mutex mutex_;
    std::condition_variable settled_;
    std::deque<Entry> entries_; // the newest last
    bool closed_ = false;
};

} // namespace godwit::migration
