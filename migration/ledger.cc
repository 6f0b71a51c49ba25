// SPDX-License-Identifier: Apache-2.0
#include "migration/ledger.h"

#include <algorithm>

namespace godwit::migration {

Ledger::Entry* Ledger::find(const MigrationId& id) {
    const auto found = std::ranges::find(entries_, id, &Entry::id);
    return found != entries_.end() ? &*found : nullptr;
}

const FateRule* Ledger::step(Entry& entry, FateStep step) {
    const FateRule* const rule = rule_for(entry.fate, step);
    if (rule != nullptr)
        entry.fate = rule->to;
    return rule;
}

Status Ledger::enter(const MigrationId& id, Cancel* fence) {
    const std::lock_guard lock{mutex_};
    if (find(id) != nullptr)
        return error(ErrorCode::Protocol, "a migration with this id was here before");
    Entry entry{id, Fate::Unknown, fence, {}, {}};
    step(entry, FateStep::Hello);
    entries_.push_back(std::move(entry));
    if (entries_.size() > kRemembered)
        entries_.pop_front();
    return {};
}

bool Ledger::claim(const MigrationId& id) {
    const std::lock_guard lock{mutex_};
    Entry* const entry = find(id);
    return entry != nullptr && step(*entry, FateStep::Commit) != nullptr && entry->fate == Fate::Claimed;
}

void Ledger::taken_over(const MigrationId& id, std::chrono::microseconds duration) {
    const std::lock_guard lock{mutex_};
    if (Entry* const entry = find(id); entry != nullptr) {
        step(*entry, FateStep::TakenOver);
        entry->fence = nullptr;
        entry->take_over = duration;
    }
    settled_.notify_all();
}

void Ledger::discarded(const MigrationId& id, const Error& why) {
    const std::lock_guard lock{mutex_};
    if (Entry* const entry = find(id); entry != nullptr) {
        step(*entry, FateStep::Discarded);
        entry->fence = nullptr;
        entry->why = why;
    }
    settled_.notify_all();
}

bool Ledger::is_fenced(const MigrationId& id) const {
    const std::lock_guard lock{mutex_};
    const auto found = std::ranges::find(entries_, id, &Entry::id);
    return found != entries_.end() && found->fate == Fate::Fenced;
}

std::optional<Ledger::Answer> Ledger::ask(const MigrationId& id, std::chrono::milliseconds limit) {
    std::unique_lock lock{mutex_};
    const auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
        // Looked up each time: it may be forgotten while this waits.
        Entry* const entry = find(id);
        if (entry == nullptr)
            return answer(id, rule_for(Fate::Unknown, FateStep::Query)->answer.value(), nullptr);
        const FateRule* const rule = step(*entry, FateStep::Query);
        if (entry->fate == Fate::Fenced && entry->fence != nullptr)
            entry->fence->request();
        // The fence holds from now on. That the disks are let go before the source hears of it only spares it
        // a wait.
        const bool decided = rule != nullptr && entry->fate != Fate::Fenced;
        if (decided)
            return answer(id, rule->answer.value(), entry);
        if (closed_ || settled_.wait_until(lock, until) == std::cv_status::timeout) {
            if (rule == nullptr)
                return std::nullopt;
            return answer(id, rule->answer.value(), nullptr);
        }
    }
}

Ledger::Answer Ledger::answer(const MigrationId& id, Message message, const Entry* entry) const {
    if (message == Message::Running)
        return {message, encode(RunningBody{id, entry->take_over})};
    if (message == Message::Unknown)
        return {message, encode_id(id)};
    const Error fenced =
        error(ErrorCode::Disconnected, "it never got COMMIT, and will not run the guest any more");
    return {message, encode_error(entry != nullptr && entry->why ? *entry->why : fenced)};
}

void Ledger::close() {
    const std::lock_guard lock{mutex_};
    closed_ = true;
    settled_.notify_all();
}

} // namespace godwit::migration
