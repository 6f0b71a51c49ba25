// SPDX-License-Identifier: Apache-2.0
//
// Both transition tables together, with messages on the way and a connection that may break at any moment:
// all reachable situations are visited. The property is design.md's: never two owners.
#include "migration/protocol/transitions.h"

#include <catch2/catch.hpp>

#include <deque>
#include <set>
#include <vector>

namespace model_test {

using namespace godwit::migration;

namespace {

constexpr std::size_t kOnTheWay = 3; // messages per direction

struct Situation {
    SourceState source = SourceState::Connected;
    DestinationState destination = DestinationState::Connected;
    std::vector<Message> to_destination;
    std::vector<Message> to_source;
    bool source_connected = true;
    bool destination_connected = true;
    auto operator<=>(const Situation&) const = default;
};

// Before COMMIT the loss of the connection is a failure; after it the source waits.
SourceState without_peer(SourceState state) {
    switch (state) {
    case SourceState::Committed:
    case SourceState::HandedOver:
    case SourceState::Returned:
    case SourceState::Checked:
        return state;
    default:
        return SourceState::Failed;
    }
}
DestinationState without_peer(DestinationState state) {
    switch (state) {
    case DestinationState::Committed:
    case DestinationState::Running:
    case DestinationState::Relinquished:
    case DestinationState::Checked:
        return state;
    default:
        return DestinationState::Failed;
    }
}

bool source_may_run(SourceState state) {
    return state != SourceState::Committed && state != SourceState::HandedOver;
}

std::vector<Situation> successors(const Situation& now) {
    std::vector<Situation> next;
    for (const auto& t : kSourceTransitions) {
        if (t.from != now.source)
            continue;
        Situation after = now;
        after.source = t.to;
        if (t.step == Step::Send) {
            if (now.to_destination.size() == kOnTheWay || !now.source_connected)
                continue;
            after.to_destination.push_back(t.message);
        } else {
            if (now.to_source.empty() || now.to_source.front() != t.message)
                continue;
            after.to_source.erase(after.to_source.begin());
        }
        next.push_back(after);
    }
    for (const auto& t : kDestinationTransitions) {
        if (t.from != now.destination)
            continue;
        Situation after = now;
        after.destination = t.to;
        if (t.step == Step::Send) {
            // Taking over does not need the connection: only the message is lost.
            if (!now.destination_connected && now.destination != DestinationState::Committed)
                continue;
            if (now.to_source.size() == kOnTheWay)
                continue;
            if (now.destination_connected)
                after.to_source.push_back(t.message);
        } else {
            if (now.to_destination.empty() || now.to_destination.front() != t.message)
                continue;
            after.to_destination.erase(after.to_destination.begin());
        }
        next.push_back(after);
    }
    // The connection breaks: each side notices for itself, after any number of the messages on the way.
    if (now.source_connected) {
        Situation after = now;
        after.source_connected = false;
        after.to_source.clear();
        after.source = without_peer(now.source);
        next.push_back(after);
    }
    if (now.destination_connected) {
        Situation after = now;
        after.destination_connected = false;
        after.to_destination.clear();
        after.destination = without_peer(now.destination);
        next.push_back(after);
    }
    return next;
}

std::set<Situation> reachable() {
    std::set<Situation> seen{Situation{}};
    std::deque<Situation> open{Situation{}};
    while (!open.empty()) {
        const Situation now = open.front();
        open.pop_front();
        for (const Situation& next : successors(now))
            if (seen.insert(next).second)
                open.push_back(next);
    }
    return seen;
}

} // namespace

TEST_CASE("the guest never has two owners", "[protocol][model]") {
    const auto all = reachable();
    REQUIRE(all.size() > 500);
    bool handed_over = false;
    bool returned = false;
    for (const Situation& one : all) {
        const bool runs_there = one.destination == DestinationState::Running;
        if (runs_there && source_may_run(one.source))
            FAIL("two owners: source " << to_string(one.source) << ", destination "
                                       << to_string(one.destination));
        handed_over |= one.source == SourceState::HandedOver && runs_there;
        returned |= one.source == SourceState::Returned;
    }
    REQUIRE(handed_over);
    REQUIRE(returned);
}

TEST_CASE("every message that can arrive is expected", "[protocol][model]") {
    for (const Situation& one : reachable()) {
        // A side that has given up reads nothing any more.
        const bool source_listens = one.source_connected && one.source != SourceState::Failed &&
                                    one.source != SourceState::Returned &&
                                    one.source != SourceState::HandedOver &&
                                    one.source != SourceState::Checked;
        if (source_listens && !one.to_source.empty())
            REQUIRE(next_state(one.source, Step::Receive, one.to_source.front()).has_value());
        const bool destination_listens =
            one.destination_connected && one.destination != DestinationState::Failed &&
            one.destination != DestinationState::Running &&
            one.destination != DestinationState::Relinquished && one.destination != DestinationState::Checked;
        // States that only send read on afterwards.
        const bool must_send = one.destination == DestinationState::Greeted ||
                               one.destination == DestinationState::RoundReceived ||
                               one.destination == DestinationState::StateReceived ||
                               one.destination == DestinationState::Committed;
        if (destination_listens && !must_send && !one.to_destination.empty())
            REQUIRE(next_state(one.destination, Step::Receive, one.to_destination.front()).has_value());
    }
}

TEST_CASE("a side that is not at its end can always go on", "[protocol][model]") {
    for (const auto& t : kSourceTransitions) {
        const bool end = t.to == SourceState::HandedOver || t.to == SourceState::Returned ||
                         t.to == SourceState::Failed || t.to == SourceState::Checked;
        bool goes_on = false;
        for (const auto& other : kSourceTransitions)
            goes_on |= other.from == t.to;
        REQUIRE(goes_on != end);
    }
}

} // namespace model_test
