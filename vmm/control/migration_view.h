// SPDX-License-Identifier: Apache-2.0
//
// What query-migrate answers: QEMU's names (qapi/migration.json, MigrationInfo) where the meaning agrees, and
// two of ours: "direction" (outgoing, incoming) and "owner", who has the guest as far as this side knows:
// here, source, destination, undecided (COMMIT is sent, its answer is due), in-doubt, none. Pure functions.
#pragma once

#include "migration/progress.h"

#include <nlohmann/json.hpp>

namespace godwit::control {

// `has_guest`: of a machine that did not wait for one.
nlohmann::json outgoing_view(const migration::ProgressSnapshot& now, bool has_guest);
nlohmann::json incoming_view(const migration::ProgressSnapshot& now);

} // namespace godwit::control
