// SPDX-License-Identifier: Apache-2.0
//
// The question of a source in doubt, on a connection of its own: who has the guest of this migration?
// Functions of the thread that calls them.
#pragma once

#include "migration/ledger.h"
#include "migration/reception.h"

namespace godwit::migration {

// Source: what came back. Silence says that nothing did that can be read.
struct Reply {
    CustodyStep says = CustodyStep::Silence; // Running, Relinquish, Unknown, Silence
    std::chrono::microseconds take_over{};   // of Running
    // Of the others: why.
    Error why{ErrorCode::Disconnected, "no answer"};
};
Reply ask(Channel& channel, const MigrationId& id);

// Destination: the route of QUERY.
void answer_query(Connection connection, Ledger& ledger);

} // namespace godwit::migration
