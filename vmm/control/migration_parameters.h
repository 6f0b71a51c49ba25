// SPDX-License-Identifier: Apache-2.0
//
// The table of migration parameters: one entry has the name, type, unit, range and meaning, and QMP
// (migrate-set-parameters, query-migrate-parameters, migrate) and the command line (`godwit migrate`,
// `godwit tune`) know no others. Names are those of QEMU's MigrationParameters (qapi/migration.json) where
// the meaning agrees.
//
// To add one: a member of migration::Parameters, whose initialiser is the default, and an entry in the table.
// Pure functions.
#pragma once

#include "migration/parameters.h"
#include "vmm/base/result.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace godwit::control {

using Json = nlohmann::json;

enum class ParameterType {
    Integer,
    Size, // an integer in bytes; K, M and G on the command line
    Boolean,
    Choice, // one of some words
    Text,
    Path, // of a file here: absolute, since the machine's process has a folder of its own
};

struct MigrationParameter {
    std::string_view name;
    std::string_view option; // of `godwit migrate`, without its dashes
    ParameterType type;
    std::string_view unit; // empty when there is none
    std::string_view meaning;
    bool while_running; // may change while a migration runs
    std::int64_t least = 0;
    std::int64_t most = 0; // of an integer or size
    std::span<const std::string_view> choices{};
    // How it is kept: as a number (of a choice, its place in `choices`), or a text.
    std::int64_t (*get)(const migration::Parameters&) = nullptr;
    void (*set)(migration::Parameters&, std::int64_t) = nullptr;
    std::string& (*text)(migration::Parameters&) = nullptr;

    Json value_in(const migration::Parameters& parameters) const;
    Json default_value() const { return value_in(migration::Parameters{}); }
    // "1 to 2000000 ms", "throttle, switch or cancel": what a value may be.
    std::string range() const;
    // A value as typed on a command line.
    Result<Json> parse(std::string_view typed) const;
};

std::span<const MigrationParameter> migration_parameters();
// The error lists those that there are.
Result<const MigrationParameter*> find_migration_parameter(std::string_view name);

// All parameters by name.
Json to_json(const migration::Parameters& parameters);
// Sets those that `values` names, all of them or none. An error names the parameter, the value and the range.
// `running`: those that cannot change while a migration runs must keep their values.
Status set_parameters(migration::Parameters& parameters, const Json& values, bool running);

} // namespace godwit::control
