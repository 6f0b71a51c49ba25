// SPDX-License-Identifier: Apache-2.0
#include "migration/doubt.h"

#include "migration/source.h"
#include "vmm/base/log.h"

#include <algorithm>

namespace godwit::migration {

namespace {

using namespace std::chrono_literals;

// A connection that takes longer is tried again, rather than waited for.
constexpr auto kConnectLimit = 2s;
// More than a destination takes that has to finish something before it can answer.
constexpr auto kAnswerLimit = 8s;
// How long the word of an operator waits for disks that somebody may just be letting go of.
constexpr auto kOperatorReclaimLimit = 1s;
// How often disks are tried that somebody else still has.
constexpr auto kDiskPace = 200ms;
// How often a destination is asked to let go of them.
constexpr auto kFencePace = 5s;

constexpr std::string_view kWayOut =
    "find out whether it runs at the destination: if it does, `godwit resolve --discard` ends this process; "
    "if "
    "it does not and never will, `godwit resolve --resume` lets the guest go on here";

} // namespace

// While it lives, an operator may speak.
class Doubt::Presence {
  public:
    explicit Presence(Doubt& doubt) : doubt_(doubt) {
        const std::lock_guard lock{doubt_.mutex_};
        doubt_.exists_ = true;
    }
    ~Presence() {
        const std::lock_guard lock{doubt_.mutex_};
        doubt_.exists_ = false;
        doubt_.news_.notify_all();
    }
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;

  private:
    Doubt& doubt_;
};

Result<std::string> Doubt::say(Word word) {
    std::unique_lock lock{mutex_};
    if (!exists_)
        return invalid_input("nothing is in doubt here");
    if (word_)
        return invalid_input("the doubt is just being resolved");
    word_ = word;
    answer_.reset();
    if (asking_ != nullptr && word != Word::Ask)
        asking_->request(); // a question that waits for its answer is in the way
    news_.notify_all();
    news_.wait(lock, [&] { return answer_ || !exists_; });
    word_.reset();
    if (!answer_)
        return error(ErrorCode::InDoubt, "the process ends");
    return std::move(*answer_);
}

bool Doubt::exists() const {
    const std::lock_guard lock{mutex_};
    return exists_;
}

void Doubt::abandon() {
    const std::lock_guard lock{mutex_};
    abandoned_ = true;
    if (asking_ != nullptr)
        asking_->request();
    news_.notify_all();
}

std::optional<Doubt::Word> Doubt::pending() const {
    const std::lock_guard lock{mutex_};
    return answer_ ? std::nullopt : word_;
}

bool Doubt::abandoned() const {
    const std::lock_guard lock{mutex_};
    return abandoned_;
}

std::optional<Doubt::Word> Doubt::next_word(Clock::time_point until) {
    std::unique_lock lock{mutex_};
    news_.wait_until(lock, until, [&] { return abandoned_ || (word_ && !answer_); });
    return answer_ ? std::nullopt : word_;
}

void Doubt::answer(Result<std::string> what) {
    const std::lock_guard lock{mutex_};
    if (!word_ || answer_)
        return;
    answer_ = std::move(what);
    news_.notify_all();
}

Reply Doubt::ask_once(const Connector& connector, const MigrationId& id) {
    auto cancel = Cancel::create();
    if (!cancel.ok())
        return {.why = std::move(cancel).error()};
    Cancel& wanted = **cancel;
    {
        const std::lock_guard lock{mutex_};
        if (abandoned_ || (word_ && !answer_ && *word_ != Word::Ask))
            return {.why = error(ErrorCode::Cancelled, "interrupted")};
        asking_ = std::move(cancel).value();
    }
    Connector quick = connector;
    quick.limit = std::min<std::chrono::milliseconds>(quick.limit, kConnectLimit);
    auto channel = quick.connect(&wanted);
    Reply reply;
    if (channel.ok()) {
        (*channel)->set_timeout(kAnswerLimit);
        (*channel)->set_cancel(&wanted);
        reply = ask(**channel, id);
        (*channel)->close();
    } else {
        reply.why = std::move(channel).error();
    }
    const std::lock_guard lock{mutex_};
    asking_.reset();
    return reply;
}

Doubt::End Doubt::resolve(SourceAttempt& attempt, const Connector& connector, const MigrationId& id,
                          const Error& cause, const DoubtOptions& options) {
    const Presence presence{*this};
    attempt.progress().set_status(MigrationStatus::InDoubt);
    const std::string where = connector.address.text();
    log::warning("the guest was handed over and the destination did not say that it runs ({}); asking {}",
                 cause.text, where);
    const auto call_at = Clock::now() + options.ask_for;
    auto pace = options.pace;
    for (bool called = false;;) {
        Reply reply = ask_once(connector, id);
        attempt.step(reply.says);
        if (attempt.custody() == Custody::Gone) {
            answer("the guest runs at the destination; this process ends");
            return {Custody::Gone, reply.take_over};
        }
        if (attempt.custody() == Custody::Here) {
            answer("the destination does not have the guest and never will; it goes on here");
            return {Custody::Here, {}, std::move(reply.why)};
        }
        Error doubt =
            error(ErrorCode::InDoubt,
                  "in doubt: the guest was handed over to {} and nothing says that it runs there ({}; when "
                  "asked: {}). It stays paused here; {}",
                  where, cause.text, reply.why.text, kWayOut);
        attempt.progress().update([&](ProgressSnapshot& now) { now.error = doubt; });
        if (!called && (Clock::now() >= call_at || reply.says == CustodyStep::Unknown)) {
            called = true;
            call_(doubt);
        }
        if (pending() == Word::Ask)
            answer(doubt);
        const auto word = next_word(Clock::now() + pace);
        pace = std::min(pace * 2, options.slowest_pace);
        if (abandoned())
            return {Custody::InDoubt, {}, std::move(doubt)};
        if (word == Word::Discard) {
            attempt.step(CustodyStep::OperatorDiscards);
            answer("the guest is the destination's; this process ends");
            return {Custody::Gone};
        }
        if (word == Word::Resume && resumed(attempt))
            return {Custody::Here, {}, error(ErrorCode::Cancelled, "an operator took the guest back")};
    }
}

// A guest whose disks another host may be writing to must not run, whoever says so.
bool Doubt::resumed(SourceAttempt& attempt) {
    if (auto disks = attempt.reclaim(kOperatorReclaimLimit); !disks.ok()) {
        answer(Error{ErrorCode::InDoubt,
                     fmt::format("the guest stays paused and in doubt: {}", disks.error().text)});
        return false;
    }
    attempt.step(CustodyStep::OperatorResumes);
    const auto undone = attempt.roll_back();
    answer(undone.ok() ? Result<std::string>{"the guest goes on here"} : Result<std::string>{undone.error()});
    return true;
}

void Doubt::fence(SourceAttempt& attempt, const Connector& connector) {
    const Reply reply = ask_once(connector, attempt.id());
    if (reply.says != CustodyStep::Relinquish)
        log::warning("the destination may still hold the disks; asked, it did not let go: {}",
                     reply.why.text);
}

Doubt::End Doubt::wait_for_disks(SourceAttempt& attempt, const Connector* connector, const Error& cause) {
    const Presence presence{*this};
    const Error doubt{
        ErrorCode::InDoubt,
        fmt::format("{}. The guest is paused here and goes on as soon as its disks can be had. If it "
                    "runs elsewhere, `godwit resolve --discard` ends this process",
                    cause.text)};
    attempt.progress().set_status(MigrationStatus::InDoubt);
    attempt.progress().update([&](ProgressSnapshot& now) { now.error = doubt; });
    call_(doubt);
    for (auto fence_at = Clock::now() + kFencePace;;) {
        if (connector != nullptr && Clock::now() >= fence_at) {
            fence(attempt, *connector);
            fence_at = Clock::now() + kFencePace;
        }
        const auto word = next_word(Clock::now() + kDiskPace);
        if (abandoned())
            return {Custody::InDoubt, {}, doubt};
        if (word == Word::Discard) {
            answer("the guest is not ours any more; this process ends");
            return {Custody::Gone};
        }
        const auto disks = attempt.reclaim(0ms);
        if (!disks.ok()) {
            answer(Error{ErrorCode::InDoubt, fmt::format("the guest stays paused: {}", disks.error().text)});
            continue;
        }
        const auto undone = attempt.roll_back();
        answer(undone.ok() ? Result<std::string>{"the guest goes on here"}
                           : Result<std::string>{undone.error()});
        return {Custody::Here, {}, cause};
    }
}

} // namespace godwit::migration
