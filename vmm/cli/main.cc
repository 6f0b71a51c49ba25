// SPDX-License-Identifier: Apache-2.0
//
// godwit: the program. Subcommands are in commands.h.
#include "vmm/base/log.h"
#include "vmm/cli/commands.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>

using namespace godwit;

namespace {

constexpr std::string_view kDescription =
    "A virtual machine monitor for KVM that moves running guests between hosts.";
constexpr std::string_view kExamples = R"(
Examples:
  Boot a guest with a disk and a network:
    godwit run --kernel vmlinuz --cmdline "console=ttyS0 root=/dev/vda" --memory 1G --cpus 2 \
        --disk path=disk.raw --net tap=tap0 --control /run/vm0.sock
  Wait for it on another host, with the same shape of machine:
    godwit receive tcp:[::]:7070 --memory 1G --cpus 2 --disk path=disk.raw --net tap=tap0 --control /run/vm0.sock
  Move it there:
    godwit migrate --control /run/vm0.sock tcp:host2:7070
  Ask first whether it could move there:
    godwit check --control /run/vm0.sock tcp:host2:7070
  Save it to a file, end the process, and go on later:
    godwit save --control /run/vm0.sock --quit vm0.state
    godwit restore vm0.state --memory 1G --cpus 2 --disk path=disk.raw --net tap=tap0 --control /run/vm0.sock

Exit status: 0 done or the guest powered off; 1 failure; 2 wrong usage or input; 3 a host resource is missing;
4 the guest crashed; 5 migration failed, the guest goes on; 6 machines do not fit; 7 in doubt; 8 cancelled.)";

} // namespace

namespace godwit::cli {

ExitStatus report(const Error& error) {
    fmt::print(stderr, "godwit: {}\n", error.text);
    return exit_status(error.code);
}

} // namespace godwit::cli

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);

    CLI::App program{std::string{kDescription}, "godwit"};
    program.footer(std::string{kExamples});
    program.require_subcommand(1);
    program.set_version_flag("--version", "godwit " GODWIT_VERSION);
    bool verbose = false;
    program.add_flag("-v,--verbose", verbose, "log what happens in detail, on standard error");

    const std::array commands{cli::add_run(program),      cli::add_receive(program),
                              cli::add_migrate(program),  cli::add_save(program),
                              cli::add_restore(program),  cli::add_status(program),
                              cli::add_resolve(program),  cli::add_pause(program),
                              cli::add_resume(program),   cli::add_powerdown(program),
                              cli::add_quit(program),     cli::add_tune(program),
                              cli::add_inspect(program),  cli::add_check(program),
                              cli::add_timeline(program), cli::add_migrate_continue(program),
                              cli::add_cpu(program)};
    // CLI11 would only say that a subcommand is missing.
    if (argc > 1 && argv[1][0] != '-' && std::none_of(commands.begin(), commands.end(), [&](const auto& c) {
            return c.app->check_name(argv[1]);
        })) {
        fmt::print(stderr, "godwit: unknown subcommand '{}'; `godwit --help` lists them\n", argv[1]);
        return static_cast<int>(ExitStatus::Usage);
    }
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& fault) { // CLI11's interface; nothing of ours throws
        const int status = program.exit(fault);
        return status == 0 ? 0 : static_cast<int>(ExitStatus::Usage);
    }
    log::set_level(verbose ? log::Level::Debug : log::Level::Info);
    for (const cli::Command& command : commands) {
        if (command.app->parsed())
            return static_cast<int>(command.action());
    }
    return static_cast<int>(ExitStatus::Usage);
}
