// SPDX-License-Identifier: Apache-2.0
//
// godwit migrate: starts a migration, shows how it goes, and ends with its outcome.
#include "migration/channel/address.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/parameter_options.h"
#include "vmm/control/client.h"

#include <memory>
#include <unistd.h>

namespace godwit::cli {

namespace {

using control::Json;

std::string bytes_text(double bytes) {
    if (bytes >= 1e9)
        return fmt::format("{:.2f} GB", bytes / 1e9);
    return fmt::format("{:.1f} MB", bytes / 1e6);
}

// One line that is written over: bytes, remaining, rate, round, expected downtime.
void show_progress(const Json& status) {
    const Json ram = status.value("ram", Json::object());
    const std::string line =
        fmt::format("round {}: {} sent, {} remaining, {:.0f} MB/s, expected downtime {} ms",
                    ram.value("dirty-sync-count", 0), bytes_text(ram.value("transferred", 0.0)),
                    bytes_text(ram.value("remaining", 0.0)), ram.value("mbps", 0.0) / 8,
                    status.value("expected-downtime", 0));
    fmt::print(stderr, "\r{:<78}", line);
    std::fflush(stderr);
}

void clear_progress() {
    fmt::print(stderr, "\r{:<78}\r", "");
    std::fflush(stderr);
}

Error outcome_error(const Json& data) {
    const std::string text = data.value("error-desc", "the migration failed and no reason was given");
    const auto status =
        static_cast<ExitStatus>(data.value("exit-status", static_cast<int>(ExitStatus::MigrationFailed)));
    switch (status) {
    case ExitStatus::Incompatible:
        return Error{ErrorCode::Incompatible, text};
    case ExitStatus::InDoubt:
        return Error{ErrorCode::InDoubt, text};
    case ExitStatus::Cancelled:
        return Error{ErrorCode::Cancelled, text};
    default:
        return Error{ErrorCode::Disconnected, text};
    }
}

// Until the migration ends. The source process goes away after a success: its event comes first.
Status follow(control::Client& client, bool live) {
    for (;;) {
        auto event = TRY(client.next_event(std::chrono::milliseconds{live ? 100 : 1000}));
        if (event && event->value("event", "") == "MIGRATION") {
            const Json data = event->value("data", Json::object());
            const std::string status = data.value("status", "");
            if (status == "completed" || status == "failed" || status == "cancelled" ||
                status == "in-doubt") {
                if (live)
                    clear_progress();
                if (status != "completed")
                    return outcome_error(data);
                fmt::print("migrated: {} in {} ms, downtime {} ms\n",
                           bytes_text(data.value("transferred", 0.0)), data.value("total-time", 0),
                           data.value("downtime", 0));
                return {};
            }
        }
        if (live && !event) {
            if (const auto status = client.execute("query-migrate"); status.ok())
                show_progress(status.value());
        }
    }
}

struct Options {
    std::string control_path;
    std::string address;
    ParameterOptions parameters;
    bool detach = false;
};

Status migrate(const Options& options) {
    TRY(migration::Address::parse(options.address));
    Json arguments = TRY(options.parameters.values());
    arguments["uri"] = options.address;
    control::Client client = TRY(control::Client::connect(options.control_path));
    TRY(client.execute("migrate", arguments));
    if (options.detach)
        return {};
    return follow(client, ::isatty(STDERR_FILENO) != 0);
}

} // namespace

Command add_migrate(CLI::App& program) {
    auto options = std::make_shared<Options>();
    CLI::App* const app =
        program.add_subcommand("migrate", "move the running guest to a waiting `godwit receive`");
    app->add_option("--control", options->control_path, "control socket of the machine that moves")
        ->required();
    app->add_option("address", options->address, "where it goes: tcp:HOST:PORT or unix:PATH")->required();
    options->parameters.add_to(*app);
    app->add_flag("-d,--detach", options->detach, "return at once; `godwit status` tells how it goes");
    app->footer(
        "On success the source process ends with status 0. On failure the guest goes on where it was.");
    return {app, [options] {
                const Status status = migrate(*options);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

} // namespace godwit::cli
