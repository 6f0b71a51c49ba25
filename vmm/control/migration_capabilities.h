// SPDX-License-Identifier: Apache-2.0
//
// QEMU's migration capabilities (qapi/migration.json, MigrationCapability, of QEMU 7.2) for clients that send
// them all: what some of them switch is a parameter here, what others switch is always or never so. Pure
// functions.
#pragma once

#include "migration/parameters.h"
#include "vmm/base/result.h"

#include <nlohmann/json.hpp>

namespace godwit::control {

using Json = nlohmann::json;

// query-migrate-capabilities: a list of {"capability": name, "state": boolean}.
Json capabilities_of(const migration::Parameters& parameters);

// The parameters (migration_parameters.h) that such a list sets. An error names a capability that there is
// not, or that cannot be switched on here.
Result<Json> parameters_for(const Json& capabilities, const migration::Parameters& now);

} // namespace godwit::control
