// SPDX-License-Identifier: Apache-2.0
//
// Subcommands are in commands.h.
#include "vmm/cli/program.h"

#include "vmm/base/log.h"
#include "vmm/base/text.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <span>
#include <sstream>
#include <string>

namespace godwit::cli {

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
4 the guest crashed; 5 migration failed, the guest goes on; 6 machines do not fit; 7 in doubt; 8 cancelled; 9 the guest powered off while it moved;
10 the sandbox ended the process.)";

// The first word that is empty: an unset variable of a script, which nobody means. A kernel's command line
// may be.
std::optional<std::string> empty_word(std::span<char* const> words) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string_view word = words[i], before = words[i - 1];
        const bool named = word.starts_with("--") && word.find('=') == word.size() - 1;
        if (!word.empty() && !named)
            continue;
        const std::string_view name = named ? word.substr(0, word.size() - 1) : before;
        if (name != "--cmdline")
            return name.starts_with("-") ? fmt::format("{}: the value is empty", name)
                                         : fmt::format("argument {} is empty", i);
    }
    return std::nullopt;
}

// The process's last words are out, as far as anybody takes them. What was asked for and cannot be had is a
// failure; who has closed the other end of a pipe need not be told.
int ended(ExitStatus status) {
    const Status printed = finish_output();
    if (!printed.ok() && printed.error().code != ErrorCode::Disconnected)
        tell("godwit: {}\n", printed.error().text);
    log::finish();
    return static_cast<int>(printed.ok() || status != ExitStatus::Success ? status : ExitStatus::Failure);
}

} // namespace

ExitStatus report(const Error& error) {
    tell("godwit: {}\n", without_controls(error.text));
    return exit_status(error.code);
}

int main(int argc, char** argv, const GuestFactory& factory) {
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ,
                SIG_IGN); // a file beyond a limit is an error of the write (EFBIG), not the guest's end
    occupy_standard_streams();

    CLI::App program{std::string{kDescription}, "godwit"};
    program.footer(std::string{kExamples});
    program.require_subcommand(1);
    program.set_version_flag("--version", "godwit " GODWIT_VERSION);
    bool verbose = false;
    program.add_flag("-v,--verbose", verbose, "log what happens in detail, on standard error");

    const std::array commands{add_run(program, factory),
                              add_receive(program, factory),
                              add_migrate(program),
                              add_cancel(program),
                              add_save(program),
                              add_restore(program, factory),
                              add_status(program),
                              add_resolve(program),
                              add_pause(program),
                              add_resume(program),
                              add_powerdown(program),
                              add_quit(program),
                              add_tune(program),
                              add_inspect(program),
                              add_check(program),
                              add_timeline(program),
                              add_migrate_continue(program),
                              add_cpu(program)};
    if (const auto empty = empty_word({argv, static_cast<std::size_t>(argc)})) {
        tell("godwit: {}\n", *empty);
        return static_cast<int>(ExitStatus::Usage);
    }
    // CLI11 would only say that a subcommand is missing.
    if (argc > 1 && argv[1][0] != '-' && std::none_of(commands.begin(), commands.end(), [&](const auto& c) {
            return c.app->check_name(argv[1]);
        })) {
        tell("godwit: unknown subcommand '{}'; `godwit --help` lists them\n", argv[1]);
        return static_cast<int>(ExitStatus::Usage);
    }
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& fault) { // CLI11's interface; nothing of ours throws
        std::ostringstream output, complaint;
        const int status = program.exit(fault, output, complaint);
        print_text(output.str());
        tell_text(complaint.str());
        return ended(status == 0 ? ExitStatus::Success : ExitStatus::Usage);
    }
    log::set_level(verbose ? log::Level::Debug : log::Level::Info);
    for (const Command& command : commands) {
        if (command.app->parsed())
            return ended(command.action());
    }
    return ended(ExitStatus::Usage);
}

} // namespace godwit::cli
