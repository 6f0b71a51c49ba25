// SPDX-License-Identifier: Apache-2.0
//
// A model of both sides of a migration, built from the tables that the code uses: all six of them, with the
// connections in between. Nothing is left to chance: explore() visits every situation that any interleaving
// of loss, delay, time-outs, reconnection and the death of either side can lead to. For tests.
#pragma once

#include "migration/protocol/ownership.h"
#include "migration/protocol/transitions.h"

#include <array>
#include <compare>
#include <string>
#include <vector>

namespace godwit::migration::model {

struct Tables {
    std::vector<Transition<SourceState>> source{kSourceTransitions.begin(), kSourceTransitions.end()};
    std::vector<Transition<DestinationState>> destination{kDestinationTransitions.begin(),
                                                          kDestinationTransitions.end()};
    std::vector<Transition<AskerState>> asker{kAskerTransitions.begin(), kAskerTransitions.end()};
    std::vector<Transition<AnswererState>> answerer{kAnswererTransitions.begin(), kAnswererTransitions.end()};
    std::vector<FateRule> fates{kFateRules.begin(), kFateRules.end()};
    std::vector<CustodyRule> custodies{kCustodyRules.begin(), kCustodyRules.end()};
};

inline constexpr std::size_t kOnTheWay = 2; // messages per direction

// Messages on their way, the oldest first.
struct Queue {
    std::array<Message, kOnTheWay> messages{};
    std::uint8_t count = 0;

    bool full() const { return count == kOnTheWay; }
    bool empty() const { return count == 0; }
    Message front() const { return messages[0]; }
    void push(Message message) { messages[count++] = message; }
    void pop() {
        for (std::size_t i = 1; i < count; ++i)
            messages[i - 1] = messages[i];
        messages[--count] = {};
    }
    auto operator<=>(const Queue&) const = default;
};

// A question on its way through a connection of its own.
enum class Question : std::uint8_t { None, OnTheWay, Answered };

struct Situation {
    // The source: its session, whose the guest is for it, its question.
    bool source_lives = true;
    bool source_connected = true;
    SourceState source = SourceState::Connected;
    Custody custody = Custody::Here;
    Question question = Question::None;
    Message answer{}; // on its way, when the question is answered
    // A QUERY of a connection that the source gave up, which may still arrive.
    bool stray_question = false;
    bool operator_spoke = false;

    bool destination_lives = true;
    bool destination_connected = true;
    DestinationState destination = DestinationState::Connected;
    Fate fate = Fate::Unknown;
    bool successor = false; // another process listens where the dead one did
    bool ran_there = false;

    Queue to_destination;
    Queue to_source;

    auto operator<=>(const Situation&) const = default;

    bool source_owns() const { return source_lives && custody == Custody::Here; }
    bool destination_owns() const {
        return destination_lives && (fate == Fate::Running || fate == Fate::Claimed);
    }
};
std::string to_string(const Situation& situation);

struct Findings {
    std::size_t situations = 0;
    // Empty when the property holds, else the first situation in which it does not.
    std::string two_owners;
    std::string no_owner;      // and none will come, though nobody dies any more
    std::string unresolved;    // a doubt that neither an answer nor, when nobody can answer, an operator ends
    std::string wrongly_given; // the source lets go of a guest that never ran at the destination
    std::string woken;         // the source goes on by itself with a guest that has run at the destination
    std::string unexpected;    // a message that its receiver has no rule for

    // How often the ends were found, to show that the model gets there.
    std::size_t handed_over = 0;
    std::size_t fenced = 0;
    std::size_t resolved_by_question = 0;
    std::size_t resolved_by_operator = 0;

    // The property holds, and a guest can move.
    bool fine() const {
        return two_owners.empty() && no_owner.empty() && unresolved.empty() && wrongly_given.empty() &&
               woken.empty() && unexpected.empty() && handed_over != 0;
    }
};
Findings explore(const Tables& tables);

} // namespace godwit::migration::model
