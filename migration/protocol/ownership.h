// SPDX-License-Identifier: Apache-2.0
//
// Who has the guest, as two tables: what a destination knows of a migration (`Fate`), and whether a source
// may run its guest (`Custody`). The messages of transitions.h make these steps; what is not here cannot
// happen. Constants.
#pragma once

#include "migration/protocol/message.h"

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace godwit::migration {

// ---- the destination

enum class Fate : std::uint8_t {
    Unknown, // never heard of it
    Pending, // under way; it would run at a COMMIT
    Claimed, // COMMIT is here; it is being started
    Fenced,  // the source asked first: a COMMIT that comes now is too late. What arrived is thrown away
    Running, // the guest is ours
    Never,   // it did not run here and never will
};

enum class FateStep : std::uint8_t {
    Hello,
    Commit,
    Query,
    TakenOver, // it runs
    Discarded, // the attempt is over and everything that arrived is thrown away
};

struct FateRule {
    Fate from;
    FateStep step;
    Fate to;
    std::optional<Message> answer{}; // to a Query
};

// COMMIT and QUERY exclude each other: whichever is first decides. A Query finds no rule while a claimed
// guest is being started: its answer waits until that is done.
inline constexpr std::array kFateRules{
    FateRule{Fate::Unknown, FateStep::Hello, Fate::Pending},
    FateRule{Fate::Unknown, FateStep::Query, Fate::Unknown, Message::Unknown},
    FateRule{Fate::Pending, FateStep::Commit, Fate::Claimed},
    FateRule{Fate::Pending, FateStep::Query, Fate::Fenced, Message::Relinquish},
    FateRule{Fate::Pending, FateStep::Discarded, Fate::Never},
    FateRule{Fate::Claimed, FateStep::TakenOver, Fate::Running},
    FateRule{Fate::Claimed, FateStep::Discarded, Fate::Never},
    FateRule{Fate::Fenced, FateStep::Commit, Fate::Fenced},
    FateRule{Fate::Fenced, FateStep::Query, Fate::Fenced, Message::Relinquish},
    FateRule{Fate::Fenced, FateStep::Discarded, Fate::Never},
    FateRule{Fate::Running, FateStep::Query, Fate::Running, Message::Running},
    FateRule{Fate::Never, FateStep::Query, Fate::Never, Message::Relinquish},
};

constexpr const FateRule* rule_for(Fate from, FateStep step, std::span<const FateRule> rules = kFateRules) {
    for (const FateRule& rule : rules)
        if (rule.from == from && rule.step == step)
            return &rule;
    return nullptr;
}

// ---- the source

enum class Custody : std::uint8_t {
    Here,    // the guest is ours, running or paused
    Away,    // COMMIT is sent; waits for RUNNING
    InDoubt, // nothing came back; asks
    Gone,    // end: the destination has it
};

enum class CustodyStep : std::uint8_t {
    CommitSent,
    Running,    // the destination says so, on whichever connection
    Relinquish, // the same; or ERROR on the connection of the migration, which was sent before COMMIT came
    Silence,    // the connection broke, or nothing came in time, or what came cannot be read
    Unknown,    // whoever answers at the destination's address knows nothing of it
    OperatorResumes,
    OperatorDiscards,
};

struct CustodyRule {
    Custody from;
    CustodyStep step;
    Custody to;
};

inline constexpr std::array kCustodyRules{
    CustodyRule{Custody::Here, CustodyStep::CommitSent, Custody::Away},
    CustodyRule{Custody::Away, CustodyStep::Running, Custody::Gone},
    CustodyRule{Custody::Away, CustodyStep::Relinquish, Custody::Here},
    CustodyRule{Custody::Away, CustodyStep::Silence, Custody::InDoubt},
    CustodyRule{Custody::InDoubt, CustodyStep::Running, Custody::Gone},
    CustodyRule{Custody::InDoubt, CustodyStep::Relinquish, Custody::Here},
    CustodyRule{Custody::InDoubt, CustodyStep::Silence, Custody::InDoubt},
    CustodyRule{Custody::InDoubt, CustodyStep::Unknown, Custody::InDoubt},
    CustodyRule{Custody::InDoubt, CustodyStep::OperatorResumes, Custody::Here},
    CustodyRule{Custody::InDoubt, CustodyStep::OperatorDiscards, Custody::Gone},
};

constexpr std::optional<Custody> next_custody(Custody from, CustodyStep step,
                                              std::span<const CustodyRule> rules = kCustodyRules) {
    for (const CustodyRule& rule : rules)
        if (rule.from == from && rule.step == step)
            return rule.to;
    return std::nullopt;
}

std::string_view to_string(Fate fate);
std::string_view to_string(Custody custody);

} // namespace godwit::migration
