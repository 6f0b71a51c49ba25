// SPDX-License-Identifier: Apache-2.0
//
// godwit save, resolve, status, pause, resume, powerdown, quit: each is one or two requests to the control
// socket.
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/control/client.h"

#include <filesystem>
#include <memory>
#include <thread>
#include <unistd.h>

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

// Who has the guest, in words: migration_view.h.
std::string_view owner_text(std::string_view owner) {
    if (owner == "source")
        return "at the source, until it is handed over";
    if (owner == "destination")
        return "at the destination";
    if (owner == "undecided")
        return "handed over; the destination has not answered yet";
    if (owner == "in-doubt")
        return "in doubt: `godwit resolve` asks, and is the way out";
    return owner == "none" ? "not here yet" : "here";
}

Status show_status(control::Client& client) {
    const control::Json status = TRY(client.execute("query-status"));
    const control::Json name = TRY(client.execute("query-name"));
    const control::Json migration = TRY(client.execute("query-migrate"));
    print("{}: {}\n", name.value("name", "godwit"), status.value("status", "unknown"));
    const control::Json consoles = TRY(client.execute("query-chardev"));
    for (const control::Json& console : consoles)
        print("serial: {}\n", console.value("filename", ""));
    print("guest: {}\n", owner_text(migration.value("owner", "")));
    if (migration.contains("status"))
        print("{} migration: {}{}\n", migration.value("direction", ""), migration.value("status", ""),
              migration.contains("error-desc") ? ": " + migration.value("error-desc", "") : "");
    if (migration.contains("downtime"))
        print("it took {} ms, and the guest stood still for {} ms\n", migration.value("total-time", 0),
              migration.value("downtime", 0));
    return {};
}

// A destination may take a while to answer, and disks to come free.
constexpr std::chrono::seconds kResolveLimit{60};

Status resolve(const std::string& control_path, std::string_view action) {
    control::Client client = TRY(control::Client::connect(control_path));
    const control::Json answer = TRY(client.execute("migrate-resolve", {{"action", action}}, kResolveLimit));
    print("{}\n", answer.value("outcome", ""));
    return {};
}

// A large guest on a slow disk; the guest goes on by itself if it takes longer.
constexpr std::chrono::hours kSaveLimit{24};

// Where the machine's process, which has a working directory of its own, writes to; or our standard output.
Result<std::string> place_for(control::Client& client, const std::string& file) {
    constexpr std::string_view kName = "stream";
    if (file == "-") {
        if (::isatty(STDOUT_FILENO) != 0)
            return invalid_input("standard output is a terminal: `godwit save -` is for a pipe or a file");
        TRY(client.hand_over(STDOUT_FILENO, kName));
        return fmt::format("fd:{}", kName);
    }
    const std::string_view kind = file.starts_with("unix:") ? "unix:" : "";
    std::error_code fault;
    const std::filesystem::path path = std::filesystem::absolute(file.substr(kind.size()), fault);
    if (file.size() == kind.size() || fault)
        return invalid_input("'{}' is not the name of a file", file);
    return std::string{kind} + path.string();
}

Status save(const std::string& control_path, const std::string& file, bool quit) {
    control::Client client = TRY(control::Client::connect(control_path));
    const std::string place = TRY(place_for(client, file));
    TRY(client.execute("save", {{"path", place}, {"quit", quit}}, kSaveLimit));
    return {};
}

} // namespace

Command add_save(CLI::App& program) {
    struct Options {
        std::string control_path;
        std::string file;
        bool quit = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app =
        program.add_subcommand("save", "write the guest to a file that `godwit restore` goes on from");
    app->add_option("--control", options->control_path, "control socket of the machine")->required();
    app->add_option("file", options->file,
                    "where to: a file, replaced when it exists; a FIFO; unix:PATH, a socket on which "
                    "`godwit restore` or a program waits; or -, standard output")
        ->required();
    app->add_flag("--quit", options->quit, "end the process once the guest is saved");
    app->footer("The guest stands still meanwhile, and goes on unless --quit is given. The file holds RAM "
                "and devices, in "
                "QEMU's\nformat, and not what is on the disks: to restore, these must be as they were at "
                "that moment. Use "
                "--quit, or pause the\nguest first and copy its disks before it goes on.");
    return {app, [options] {
                const Status status = save(options->control_path, options->file, options->quit);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

Command add_resolve(CLI::App& program) {
    struct Options {
        std::string control_path;
        bool resume = false;
        bool discard = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app = program.add_subcommand(
        "resolve", "end the doubt of a migration whose outcome the source does not know");
    app->add_option("--control", options->control_path, "control socket of the source")->required();
    CLI::Option* const resume =
        app->add_flag("--resume", options->resume, "the destination does not run the guest: it goes on here");
    app->add_flag("--discard", options->discard, "the destination runs the guest: end this process")
        ->excludes(resume);
    app->footer(
        "Without an option the destination is asked once more, and what it says is done. Otherwise be "
        "sure: a guest\nthat runs twice destroys its disks. --resume is refused while another process "
        "holds their locks.");
    return {app, [options] {
                const Status status = resolve(options->control_path, options->resume    ? "resume"
                                                                     : options->discard ? "discard"
                                                                                        : "ask");
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

Command add_status(CLI::App& program) {
    return add_client(program, "status", "say what the machine does, and how its migration stands",
                      show_status);
}

Command add_migrate_continue(CLI::App& program) {
    return add_client(program, "migrate-continue", "let a migration go on that waits before its switchover",
                      [](control::Client& client) -> Status {
                          TRY(client.execute("migrate-continue", {{"state", "pre-switchover"}}));
                          return {};
                      });
}

namespace {

// Until it is over, and how: a cancel may come too late.
Status cancel(control::Client& client) {
    const auto state = [&]() -> Result<std::string> {
        return TRY(client.execute("query-migrate")).value("status", "none");
    };
    const auto goes_on = [](std::string_view status) {
        return status == "setup" || status == "active" || status == "pre-switchover" || status == "device";
    };
    if (!goes_on(TRY(state())))
        return invalid_input("no migration is under way");
    TRY(client.execute("migrate_cancel"));
    for (;;) {
        const auto status = state();
        if (!status.ok() && status.error().code == ErrorCode::Disconnected)
            return error(ErrorCode::Disconnected, "too late: the guest has moved");
        if (!goes_on(TRY(status))) {
            if (*status == "cancelled")
                return {};
            return error(ErrorCode::Disconnected, "the migration {}",
                         *status == "completed"  ? "was completed before"
                         : *status == "in-doubt" ? "is in doubt: `godwit resolve` is the way out"
                                                 : "failed by itself");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
}

} // namespace

Command add_cancel(CLI::App& program) {
    return add_client(program, "cancel", "stop the migration that runs; the guest goes on where it is",
                      cancel);
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
