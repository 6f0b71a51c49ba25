// SPDX-License-Identifier: Apache-2.0
//
// What a source does that cannot go on by itself: COMMIT is sent and nobody said RUNNING, or the guest is
// ours and its disks cannot be had. It asks the destination, or tries the disks, again and again; an operator
// may end it with a word.
//
// Threads: resolve() and wait_for_disks() are the migration's, one at a time; the rest any thread.
#pragma once

#include "migration/channel/connector.h"
#include "migration/progress.h"
#include "migration/protocol/payloads.h"
#include "migration/query.h"
#include "migration/source_attempt.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace godwit::migration {

struct DoubtOptions {
    // How long it asks before it calls for an operator; it goes on asking after that, more slowly.
    std::chrono::milliseconds ask_for{30'000};
    std::chrono::milliseconds pace{100}; // doubles, up to the next
    std::chrono::milliseconds slowest_pace{5'000};
};

class Doubt {
  public:
    // `call` gets what an operator must know, on the migration's thread, once per doubt.
    explicit Doubt(std::function<void(const Error&)> call) : call_(std::move(call)) {}

    // ---- the operator

    enum class Word {
        Ask,     // now
        Resume,  // the guest runs here: the destination does not have it
        Discard, // the destination has it: it never runs here again
    };
    // What came of it, when it has come. An error when there is no doubt, and when the word could not be
    // followed: the doubt is then as it was.
    Result<std::string> say(Word word);
    bool exists() const;
    // The process ends: nobody waits any more.
    void abandon();

    // ---- the migration

    struct End {
        Custody custody = Custody::InDoubt;    // Here, Gone; InDoubt when it was abandoned
        std::chrono::microseconds take_over{}; // when the destination says that it runs
        Error why{ErrorCode::InDoubt, {}};     // of Here and InDoubt
    };
    // `cause`: why there is no RUNNING.
    End resolve(SourceAttempt& attempt, const Connector& connector, const MigrationId& id, const Error& cause,
                const DoubtOptions& options);
    // The guest is ours, and its destination may not have heard that the migration is over: it lets go of the
    // disks when it is asked.
    void fence(SourceAttempt& attempt, const Connector& connector);
    // The guest is ours and rolling back failed. Custody::Here when it was undone since, Gone when an
    // operator discarded it.
    End wait_for_disks(SourceAttempt& attempt, const Connector* connector, const Error& cause);

  private:
    using Clock = std::chrono::steady_clock;
    class Presence; // while somebody is in doubt

    std::optional<Word> next_word(Clock::time_point until);
    std::optional<Word> pending() const;
    bool abandoned() const;
    bool resumed(SourceAttempt& attempt);
    void answer(Result<std::string> what);
    Reply ask_once(const Connector& connector, const MigrationId& id);

    const std::function<void(const Error&)> call_;
    mutable std::mutex mutex_;
    std::condition_variable news_;
    // All under mutex_:
    bool exists_ = false;
    bool abandoned_ = false;
    std::optional<Word> word_;
    std::optional<Result<std::string>> answer_;
    std::unique_ptr<Cancel> asking_; // a word interrupts a question that waits
};

} // namespace godwit::migration
