// SPDX-License-Identifier: Apache-2.0
//
// godwit status, pause, resume, powerdown, quit: each is one or two requests to the control socket.
#include "vmm/cli/commands.h"
#include "vmm/control/client.h"

#include <memory>

namespace godwit::cli {

namespace {

// A subcommand whose only option is the control socket.
Command add_client(CLI::App& program, const char* verb, const char* what,
                   std::function<Status(control::Client&)> act) {
    auto path = std::make_shared<std::string>();
    CLI::App* const app = program.add_subcommand(verb, what);
    app->add_option("--control", *path, "control socket of the machine")->required();
    return {app, [path, act] {
                auto client = control::Client::connect(*path);
                if (!client.ok())
                    return report(client.error());
                const Status status = act(*client);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

// What a subcommand does that is one request without an answer worth showing.
auto request(const char* command) {
    return [command](control::Client& client) -> Status {
        TRY(client.execute(command));
        return {};
    };
}

Status show_status(control::Client& client) {
    const control::Json status = TRY(client.execute("query-status"));
    const control::Json name = TRY(client.execute("query-name"));
    const control::Json migration = TRY(client.execute("query-migrate"));
    fmt::print("{}: {}\n", name.value("name", "godwit"), status.value("status", "unknown"));
    if (migration.contains("status"))
        fmt::print("migration: {}{}\n", migration.value("status", ""),
                   migration.contains("error-desc") ? ": " + migration.value("error-desc", "") : "");
    return {};
}

} // namespace

Command add_status(CLI::App& program) {
    return add_client(program, "status", "say what the machine does, and how its migration stands",
                      show_status);
}

Command add_pause(CLI::App& program) {
    return add_client(program, "pause", "stop the guest's vCPUs; it does not notice", request("stop"));
}

Command add_resume(CLI::App& program) {
    return add_client(program, "resume", "let a paused guest go on", request("cont"));
}

Command add_powerdown(CLI::App& program) {
    return add_client(program, "powerdown", "press the guest's power button", request("system_powerdown"));
}

Command add_quit(CLI::App& program) {
    return add_client(program, "quit", "end the process at once, without asking the guest", request("quit"));
}

} // namespace godwit::cli
