// SPDX-License-Identifier: Apache-2.0
//
// godwit tune: shows the migration parameters of a machine and changes them, also of a migration that runs.
#include "vmm/base/json.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/control/client.h"
#include "vmm/control/migration_parameters.h"

#include <memory>

namespace godwit::cli {

namespace {

using control::Json;

// "downtime-limit=500" as the argument of migrate-set-parameters.
Result<Json> parse_changes(const std::vector<std::string>& changes) {
    Json values = Json::object();
    for (const std::string& change : changes) {
        const std::size_t equals = change.find('=');
        if (equals == std::string::npos)
            return invalid_input("'{}' is not of the form KEY=VALUE", change);
        const std::string key = change.substr(0, equals);
        const control::MigrationParameter& parameter = *TRY(control::find_migration_parameter(key));
        if (values.contains(key))
            return invalid_input("migration parameter '{}' is given twice", key);
        values[key] = TRY(parameter.parse(change.substr(equals + 1)));
    }
    return values;
}

Status show(control::Client& client) {
    const Json values = TRY(client.execute("query-migrate-parameters"));
    for (const control::MigrationParameter& parameter : control::migration_parameters()) {
        const Json value = values.value(std::string{parameter.name}, Json{});
        std::string shown = value.is_string() ? value.get<std::string>() : json_text(value);
        if (value.is_boolean())
            shown = value.get<bool>() ? "on" : "off";
        print("{:<24} {:<10} {}: {}{}\n", parameter.name, shown, parameter.meaning, parameter.range(),
              parameter.while_running ? "" : "; not while a migration runs");
    }
    return {};
}

Status tune(const std::string& control_path, const std::vector<std::string>& changes) {
    const Json values = TRY(parse_changes(changes));
    control::Client client = TRY(control::Client::connect(control_path));
    if (values.empty())
        return show(client);
    TRY(client.execute("migrate-set-parameters", values));
    return {};
}

} // namespace

Command add_tune(CLI::App& program) {
    struct Options {
        std::string control_path;
        std::vector<std::string> changes;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app = program.add_subcommand(
        "tune", "show or change the parameters of migrations, also of the one that runs");
    app->add_option("--control", options->control_path, "control socket of the machine that moves")
        ->required();
    app->add_option("changes", options->changes, "KEY=VALUE; without any, the parameters are shown");
    app->footer(
        "A change holds from the next round on, and for later migrations too. What `godwit migrate` is "
        "given as an\noption holds for that migration alone.");
    return {app, [options] {
                const Status status = tune(options->control_path, options->changes);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

} // namespace godwit::cli
