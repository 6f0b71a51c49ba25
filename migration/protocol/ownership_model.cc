// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/ownership_model.h"

#include <fmt/core.h>

#include <deque>
#include <map>

namespace godwit::migration::model {

namespace {

enum class Cause : std::uint8_t { Protocol, Operator, Death };

struct Step {
    Cause cause;
    Situation after;
};

template <class State>
const Transition<State>* find(const std::vector<Transition<State>>& table, State from, migration::Step step,
                              Message message) {
    for (const auto& t : table)
        if (t.from == from && t.step == step && t.message == message)
            return &t;
    return nullptr;
}

bool at_end(DestinationState state) {
    return state == DestinationState::Running || state == DestinationState::Relinquished ||
           state == DestinationState::Checked || state == DestinationState::Failed;
}
bool at_end(SourceState state) {
    return state == SourceState::HandedOver || state == SourceState::Returned ||
           state == SourceState::Checked || state == SourceState::Failed;
}

// One situation, and what can happen next.
class Successors {
  public:
    Successors(const Tables& tables, const Situation& now) : tables_(tables), now_(now) {
        if (now.source_lives)
            source_steps();
        if (now.destination_lives)
            destination_steps();
        connection_steps();
        question_steps();
        if (now.source_lives && now.custody == Custody::InDoubt)
            operator_steps();
        deaths();
    }
    std::vector<Step> steps;
    bool unexpected = false;

  private:
    void add(const Situation& after, Cause cause = Cause::Protocol) { steps.push_back({cause, after}); }

    // As SourceAttempt::step(): what has no rule changes nothing.
    void custody(Situation& after, CustodyStep step) const {
        if (const auto next = next_custody(after.custody, step, tables_.custodies))
            after.custody = *next;
    }
    // As Ledger.
    const FateRule* fate(Situation& after, FateStep step) const {
        const FateRule* const rule = rule_for(after.fate, step, tables_.fates);
        if (rule != nullptr) {
            after.fate = rule->to;
            after.ran_there |= after.fate == Fate::Running;
        }
        return rule;
    }

    void source_steps() {
        for (const auto& t : tables_.source) {
            if (t.from != now_.source || !now_.source_connected)
                continue;
            Situation after = now_;
            after.source = t.to;
            if (t.step == migration::Step::Send) {
                if (now_.to_destination.full())
                    continue;
                after.to_destination.push(t.message);
                if (t.message == Message::Commit)
                    custody(after, CustodyStep::CommitSent);
            } else {
                if (now_.to_source.empty() || now_.to_source.front() != t.message)
                    continue;
                after.to_source.pop();
                if (t.message == Message::Running)
                    custody(after, CustodyStep::Running);
                if (now_.source == SourceState::Committed && t.to == SourceState::Returned)
                    custody(after, CustodyStep::Relinquish);
            }
            add(after);
        }
        // In states in which it only sends, what comes is read later.
        const bool reads = now_.source_connected &&
                           (now_.source == SourceState::Greeted || now_.source == SourceState::RoundSent ||
                            now_.source == SourceState::StateSent || now_.source == SourceState::Committed);
        if (reads && !now_.to_source.empty() &&
            find(tables_.source, now_.source, migration::Step::Receive, now_.to_source.front()) == nullptr)
            unexpected = true;
    }

    void destination_steps() {
        for (const auto& t : tables_.destination) {
            if (t.from != now_.destination)
                continue;
            if (t.step == migration::Step::Send)
                destination_sends(t);
            else if (!now_.to_destination.empty() && now_.to_destination.front() == t.message)
                destination_receives(t);
        }
        // COMMIT is here, and the ledger said yes.
        if (now_.destination == DestinationState::Committed && now_.fate == Fate::Claimed) {
            for (const FateStep step : {FateStep::TakenOver, FateStep::Discarded}) {
                Situation after = now_;
                if (fate(after, step) != nullptr)
                    add(after);
            }
        }
        // A fence stops whatever the attempt is at, whether the source can be told or not.
        if (now_.fate == Fate::Fenced && !at_end(now_.destination)) {
            Situation after = now_;
            fate(after, FateStep::Discarded);
            if (now_.destination != DestinationState::Committed) {
                after.destination = DestinationState::Failed;
                after.destination_connected = false;
            }
            add(after);
        }
    }

    void destination_sends(const Transition<DestinationState>& t) {
        const bool committed = now_.destination == DestinationState::Committed;
        // Taking over does not need the connection: only the message is lost.
        if (!now_.destination_connected && !committed)
            return;
        if (now_.to_source.full())
            return;
        if (t.message == Message::Running && now_.fate != Fate::Running)
            return;
        if (t.message == Message::Relinquish && now_.fate != Fate::Never)
            return;
        Situation after = now_;
        after.destination = t.to;
        if (t.to == DestinationState::Failed)
            fate(after, FateStep::Discarded); // before it is said
        if (now_.destination_connected)
            after.to_source.push(t.message);
        add(after);
    }

    void destination_receives(const Transition<DestinationState>& t) {
        Situation after = now_;
        after.destination = t.to;
        after.to_destination.pop();
        if (t.message == Message::Hello)
            fate(after, FateStep::Hello);
        if (t.message == Message::Commit)
            if (fate(after, FateStep::Commit) == nullptr)
                fate(after, FateStep::Discarded);
        if (t.to == DestinationState::Failed)
            fate(after, FateStep::Discarded);
        add(after);
    }

    // A connection breaks, or nothing comes in time: each side finds out for itself, after any number of the
    // messages on their way.
    void connection_steps() {
        if (now_.source_lives && now_.source_connected) {
            Situation after = now_;
            after.source_connected = false;
            after.to_source = {};
            if (now_.source == SourceState::Committed)
                custody(after, CustodyStep::Silence);
            else if (!at_end(now_.source))
                after.source = SourceState::Failed;
            add(after);
        }
        if (now_.destination_lives && now_.destination_connected) {
            Situation after = now_;
            after.destination_connected = false;
            after.to_destination = {};
            if (!at_end(now_.destination) && now_.destination != DestinationState::Committed) {
                after.destination = DestinationState::Failed;
                fate(after, FateStep::Discarded);
            }
            add(after);
        }
    }

    void question_steps() {
        // In doubt; or to make a destination let go that did not hear that the migration is over.
        const bool asks =
            now_.source_lives && (now_.custody == Custody::InDoubt ||
                                  (now_.custody == Custody::Here && now_.source == SourceState::Failed));
        if (asks && now_.question == Question::None &&
            find(tables_.asker, AskerState::Connected, migration::Step::Send, Message::Query) != nullptr) {
            Situation after = now_;
            after.question = Question::OnTheWay;
            add(after);
        }
        if (now_.question == Question::OnTheWay)
            question_arrives(false);
        if (now_.stray_question) {
            question_arrives(true);
            Situation lost = now_;
            lost.stray_question = false;
            add(lost);
        }
        if (asks && now_.question != Question::None) {
            // No answer in time, or the connection breaks; the question itself may be lost or late.
            Situation after = now_;
            after.question = Question::None;
            after.answer = {};
            custody(after, CustodyStep::Silence);
            add(after);
            if (now_.question == Question::OnTheWay) {
                after.stray_question = true;
                add(after);
            }
        }
        if (asks && now_.question == Question::Answered)
            answer_arrives();
    }

    void question_arrives(bool stray) {
        if (!now_.destination_lives && !now_.successor)
            return;
        Situation after = now_;
        Situation forgotten; // what the successor knows
        const FateRule* const rule = fate(now_.destination_lives ? after : forgotten, FateStep::Query);
        if (rule == nullptr || !rule->answer)
            return; // it waits until that is decided
        if (find(tables_.answerer, AnswererState::Connected, migration::Step::Receive, Message::Query) ==
                nullptr ||
            find(tables_.answerer, AnswererState::Asked, migration::Step::Send, *rule->answer) == nullptr)
            return;
        if (stray) {
            after.stray_question = false;
        } else {
            after.question = Question::Answered;
            after.answer = *rule->answer;
        }
        add(after);
    }

    void answer_arrives() {
        const auto* const t = find(tables_.asker, AskerState::Asked, migration::Step::Receive, now_.answer);
        if (t == nullptr) {
            unexpected = true;
            return;
        }
        Situation after = now_;
        after.question = Question::None;
        after.answer = {};
        custody(after, t->to == AskerState::Runs      ? CustodyStep::Running
                       : t->to == AskerState::Never   ? CustodyStep::Relinquish
                       : t->to == AskerState::Unknown ? CustodyStep::Unknown
                                                      : CustodyStep::Silence);
        add(after);
    }

    // An operator who looked.
    void operator_steps() {
        Situation after = now_;
        after.operator_spoke = true;
        after.question = Question::None;
        after.answer = {};
        if (!now_.destination_lives) {
            custody(after, CustodyStep::OperatorResumes);
            add(after, Cause::Operator);
        } else if (now_.fate == Fate::Running) {
            custody(after, CustodyStep::OperatorDiscards);
            add(after, Cause::Operator);
        }
    }

    void deaths() {
        if (now_.source_lives) {
            Situation after = now_; // what it sent may still arrive
            after.source_lives = false;
            after.source_connected = false;
            after.to_source = {};
            after.stray_question |= now_.question == Question::OnTheWay;
            after.question = Question::None;
            after.answer = {};
            add(after, Cause::Death);
        }
        if (now_.destination_lives) {
            Situation after = now_;
            after.destination_lives = false;
            after.destination_connected = false;
            after.to_destination = {};
            add(after, Cause::Death);
            after.successor = true;
            add(after, Cause::Death);
        }
    }

    const Tables& tables_;
    const Situation now_;
};

} // namespace

std::string to_string(const Situation& now) {
    return fmt::format("source{}: {}, guest {}; destination{}: {}, {}{}{}", now.source_lives ? "" : " (dead)",
                       to_string(now.source), to_string(now.custody), now.destination_lives ? "" : " (dead)",
                       to_string(now.destination), to_string(now.fate), now.ran_there ? ", it ran there" : "",
                       now.operator_spoke ? ", an operator spoke" : "");
}

Findings explore(const Tables& tables) {
    Findings found;
    const auto note = [](std::string& where, const Situation& what) {
        if (where.empty())
            where = to_string(what);
    };
    struct Edge {
        std::uint32_t from, to;
    };
    std::map<Situation, std::uint32_t> numbers;
    std::vector<const Situation*> all;
    std::vector<Edge> edges; // without deaths: the ways out that nobody has to die for
    std::deque<std::uint32_t> open;
    const auto number_of = [&](const Situation& one) {
        const auto [at, fresh] = numbers.try_emplace(one, static_cast<std::uint32_t>(all.size()));
        if (fresh) {
            all.push_back(&at->first);
            open.push_back(at->second);
        }
        return at->second;
    };
    number_of(Situation{});
    while (!open.empty()) {
        const std::uint32_t at = open.front();
        open.pop_front();
        const Situation now = *all[at];
        const Successors next{tables, now};
        if (next.unexpected)
            note(found.unexpected, now);
        for (const Step& step : next.steps) {
            const std::uint32_t to = number_of(step.after);
            if (step.cause != Cause::Death)
                edges.push_back({at, to});
            if (now.custody == Custody::InDoubt && step.after.custody != Custody::InDoubt)
                ++(step.cause == Cause::Operator ? found.resolved_by_operator : found.resolved_by_question);
        }
    }
    found.situations = all.size();

    std::vector<std::vector<std::uint32_t>> into(all.size());
    for (const Edge& edge : edges)
        into[edge.to].push_back(edge.from);
    // From where a situation of this kind can be reached: backwards from those.
    const auto leads_to = [&](auto&& kind) {
        std::vector<bool> leads(all.size());
        for (std::uint32_t i = 0; i < all.size(); ++i) {
            if (kind(*all[i])) {
                leads[i] = true;
                open.push_back(i);
            }
        }
        while (!open.empty()) {
            const std::uint32_t at = open.front();
            open.pop_front();
            for (const std::uint32_t from : into[at]) {
                if (!leads[from]) {
                    leads[from] = true;
                    open.push_back(from);
                }
            }
        }
        return leads;
    };
    const auto gets_owner = leads_to([](const Situation& s) {
        return s.source_owns() || (s.destination_lives && s.fate == Fate::Running);
    });
    // An operator is not needed while there is somebody who knows.
    const auto gets_clear = leads_to([](const Situation& s) {
        return (s.custody == Custody::Here || s.custody == Custody::Gone) &&
               (!s.operator_spoke || !s.destination_lives);
    });

    for (std::uint32_t i = 0; i < all.size(); ++i) {
        const Situation& one = *all[i];
        if (one.source_owns() && one.destination_owns())
            note(found.two_owners, one);
        // Whoever may have the guest lives: the source that holds it, or the destination that starts it. A
        // source that let go of a guest that ran is done.
        const bool holder_lives =
            (one.source_lives && one.custody != Custody::Gone) || one.destination_owns();
        if (holder_lives && !gets_owner[i])
            note(found.no_owner, one);
        if (one.source_lives && !one.operator_spoke && !gets_clear[i])
            note(found.unresolved, one);
        if (one.custody == Custody::Gone && !one.ran_there && !one.operator_spoke)
            note(found.wrongly_given, one);
        if (one.source_owns() && one.ran_there && !one.operator_spoke)
            note(found.woken, one);
        found.handed_over += one.custody == Custody::Gone && one.fate == Fate::Running;
        found.fenced += one.fate == Fate::Fenced;
    }
    return found;
}

} // namespace godwit::migration::model
