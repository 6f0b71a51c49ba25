// SPDX-License-Identifier: Apache-2.0
//
// The subcommands, one function each. They add their options to the parser; what they return runs when the
// subcommand was chosen, and gives the exit status.
#pragma once

#include "vmm/control/client.h"
#include "vmm/control/exit.h"
#include "vmm/machine/guest_factory.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string_view>

namespace godwit::cli {

using Action = std::function<ExitStatus()>;

// A subcommand and what it does once its options are parsed.
struct Command {
    CLI::App* app;
    Action action;
};

Command add_run(CLI::App& program, const GuestFactory& factory);
Command add_receive(CLI::App& program, const GuestFactory& factory);
Command add_migrate(CLI::App& program);
Command add_timeline(CLI::App& program);
Command add_tune(CLI::App& program);
Command add_check(CLI::App& program);
Command add_cpu(CLI::App& program);
Command add_cancel(CLI::App& program);
Command add_save(CLI::App& program);
Command add_restore(CLI::App& program, const GuestFactory& factory);
Command add_migrate_continue(CLI::App& program);
Command add_resolve(CLI::App& program);
Command add_status(CLI::App& program);
Command add_pause(CLI::App& program);
Command add_resume(CLI::App& program);
Command add_powerdown(CLI::App& program);
Command add_quit(CLI::App& program);
Command add_inspect(CLI::App& program);

// The address of a peer for the machine that `client` talks to. fd:N is a descriptor of this process, handed
// over.
Result<std::string> address_for(control::Client& client, const std::string& text);

// Says what went wrong on standard error and gives the exit status that goes with it.
ExitStatus report(const Error& error);

} // namespace godwit::cli
