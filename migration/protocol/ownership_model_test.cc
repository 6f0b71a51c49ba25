// SPDX-License-Identifier: Apache-2.0
//
// The property of the whole: never two owners; an owner exists, or the state is in doubt and can be resolved.
// And that the tables are what gives it: a table that lacks a row, or has a wrong one, does not.
#include "migration/protocol/ownership_model.h"

#include <catch2/catch.hpp>

namespace ownership_model_test {

using namespace godwit::migration;
using namespace godwit::migration::model;

namespace {

template <class Rules, class Match>
auto& row(Rules& rules, Match&& match) {
    for (auto& rule : rules)
        if (match(rule))
            return rule;
    FAIL("there is no such row");
    return rules.front();
}

auto custody_rule(Custody from, CustodyStep step) {
    return [=](const CustodyRule& rule) { return rule.from == from && rule.step == step; };
}
auto fate_rule(Fate from, FateStep step) {
    return [=](const FateRule& rule) { return rule.from == from && rule.step == step; };
}

} // namespace

TEST_CASE("whatever is lost, late or dead: one owner, or a doubt that can be resolved", "[protocol][model]") {
    const Findings found = explore(Tables{});
    CAPTURE(found.situations);
    REQUIRE(found.two_owners == "");
    REQUIRE(found.no_owner == "");
    REQUIRE(found.unresolved == "");
    REQUIRE(found.wrongly_given == "");
    REQUIRE(found.woken == "");
    REQUIRE(found.unexpected == "");
    // The model reaches what it is about.
    REQUIRE(found.situations > 2000);
    REQUIRE(found.handed_over > 0);
    REQUIRE(found.fenced > 0);
    REQUIRE(found.resolved_by_question > 0);
    REQUIRE(found.resolved_by_operator > 0);
}

TEST_CASE("without a fence the guest would have two owners", "[protocol][model]") {
    Tables broken;
    row(broken.fates, fate_rule(Fate::Pending, FateStep::Query)).to = Fate::Pending;
    REQUIRE(explore(broken).two_owners != "");
}

TEST_CASE("a COMMIT behind the fence would make two owners", "[protocol][model]") {
    Tables broken;
    row(broken.fates, fate_rule(Fate::Fenced, FateStep::Commit)).to = Fate::Claimed;
    REQUIRE(explore(broken).two_owners != "");
}

TEST_CASE("a source that wakes by itself would be a second owner", "[protocol][model]") {
    Tables broken;
    row(broken.custodies, custody_rule(Custody::Away, CustodyStep::Silence)).to = Custody::Here;
    REQUIRE(explore(broken).two_owners != "");
}

TEST_CASE("an answer of somebody who knows nothing must not wake the source", "[protocol][model]") {
    Tables broken;
    row(broken.custodies, custody_rule(Custody::InDoubt, CustodyStep::Unknown)).to = Custody::Here;
    REQUIRE(explore(broken).woken != "");
}

TEST_CASE("a destination that says RELINQUISH before it has decided would be wrong", "[protocol][model]") {
    Tables broken;
    broken.fates.push_back({Fate::Claimed, FateStep::Query, Fate::Claimed, Message::Relinquish});
    REQUIRE(explore(broken).two_owners != "");
}

TEST_CASE("a destination that says RUNNING too early would lose the guest", "[protocol][model]") {
    Tables broken;
    broken.fates.push_back({Fate::Claimed, FateStep::Query, Fate::Claimed, Message::Running});
    REQUIRE(explore(broken).wrongly_given != "");
}

TEST_CASE("an ERROR of a destination that has COMMIT would be fatal", "[protocol][model]") {
    Tables broken;
    broken.destination.push_back({DestinationState::Committed, godwit::migration::Step::Send, Message::Error,
                                  DestinationState::Failed});
    REQUIRE_FALSE(explore(broken).fine());
}

TEST_CASE("a destination that does not answer would leave the source in doubt", "[protocol][model]") {
    for (const Fate fate : {Fate::Running, Fate::Never}) {
        Tables broken;
        std::erase_if(broken.fates, fate_rule(fate, FateStep::Query));
        REQUIRE(explore(broken).unresolved != "");
    }
}

TEST_CASE("every row about ownership matters", "[protocol][model]") {
    // Without it, or with another target or answer, the property does not hold.
    const Tables whole;
    for (std::size_t i = 0; i < whole.custodies.size(); ++i) {
        const CustodyRule& rule = whole.custodies[i];
        CAPTURE(to_string(rule.from), to_string(rule.to), static_cast<int>(rule.step));
        Tables broken = whole;
        broken.custodies.erase(broken.custodies.begin() + static_cast<std::ptrdiff_t>(i));
        bool matters = !explore(broken).fine();
        broken = whole;
        for (const Custody to : {Custody::Here, Custody::Away, Custody::InDoubt, Custody::Gone}) {
            broken.custodies[i].to = to;
            matters |= !explore(broken).fine();
        }
        CHECK(matters);
    }
    for (std::size_t i = 0; i < whole.fates.size(); ++i) {
        const FateRule& rule = whole.fates[i];
        CAPTURE(to_string(rule.from), to_string(rule.to), static_cast<int>(rule.step));
        Tables broken = whole;
        broken.fates.erase(broken.fates.begin() + static_cast<std::ptrdiff_t>(i));
        bool matters = !explore(broken).fine();
        broken = whole;
        for (const Fate to :
             {Fate::Unknown, Fate::Pending, Fate::Claimed, Fate::Fenced, Fate::Running, Fate::Never}) {
            broken.fates[i].to = to;
            matters |= !explore(broken).fine();
        }
        broken = whole;
        for (const Message answer : {Message::Running, Message::Relinquish, Message::Unknown}) {
            if (rule.answer)
                broken.fates[i].answer = answer;
            matters |= !explore(broken).fine();
        }
        CHECK(matters);
    }
}

} // namespace ownership_model_test
