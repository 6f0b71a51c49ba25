// SPDX-License-Identifier: Apache-2.0
//
// godwit migrate: starts a migration, shows how it goes, and ends with its outcome.
#include "migration/channel/address.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/output.h"
#include "vmm/cli/parameter_options.h"
#include "vmm/control/client.h"
#include "vmm/control/timeline_file.h"

#include <csignal>
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
        fmt::format("round {}: {} sent, {} remaining, {:.0f} MB/s, expected downtime {} ms{}",
                    ram.value("dirty-sync-count", 0), bytes_text(ram.value("transferred", 0.0)),
                    bytes_text(ram.value("remaining", 0.0)), ram.value("mbps", 0.0) / 8,
                    status.value("expected-downtime", 0),
                    status.value("writing-back", false) ? ", writing back disks" : "");
    tell("\r{:<78}", line);
}

void clear_progress() {
    tell("\r{:<78}\r", "");
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
    case ExitStatus::GuestEnded:
        return Error{ErrorCode::GuestEnded, text};
    default:
        return Error{ErrorCode::Disconnected, text};
    }
}

// ^C, once: the second one ends this process as ever, and not the migration.
class Interrupt {
  public:
    Interrupt() {
        struct sigaction action {};
        action.sa_handler = [](int) { pending_ = 1; };
        action.sa_flags = static_cast<int>(SA_RESETHAND); // and not SA_RESTART: who waits is to look
        ::sigaction(SIGINT, &action, &former_);
        if (former_.sa_handler == SIG_IGN) // in a script's background
            ::sigaction(SIGINT, &former_, nullptr);
    }
    ~Interrupt() { ::sigaction(SIGINT, &former_, nullptr); }
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;
    static bool taken() {
        const bool was = pending_ != 0;
        pending_ = 0;
        return was;
    }

  private:
    static inline volatile std::sig_atomic_t pending_ = 0;
    struct sigaction former_ {};
};

// Shows a migration until it ends, and writes its timeline where one is wanted.
class Follower {
  public:
    Follower(control::Client& client, bool live, control::TimelineFile* timeline)
        : client_(client), live_(live), timeline_(timeline) {}

    // The source process goes away after a success: its event comes first.
    Status follow() {
        for (;;) {
            if (Interrupt::taken())
                cancel();
            const auto event = TRY(client_.next_event(std::chrono::milliseconds{100}));
            if (!event) {
                if (live_ || timeline_ != nullptr)
                    look();
                continue;
            }
            const std::string name = event->value("event", "");
            const Json data = event->value("data", Json::object());
            if (!begun_ && (name != "MIGRATION" || data.value("status", "") != "setup"))
                continue; // the end of an earlier one, which its asker learned of before this was asked for
            begun_ = true;
            if (name == "MIGRATION_TIMELINE" && timeline_ != nullptr)
                record(data);
            else if (name == "MIGRATION_STALL")
                show_stall(data);
            else if (name == "MIGRATION" && ended(data.value("status", "")))
                return finish(data);
        }
    }

  private:
    void cancel() {
        if (live_)
            clear_progress();
        const auto told = client_.execute("migrate_cancel");
        if (told.ok())
            tell("cancelling; ^C once more leaves the migration to itself\n");
        else
            tell("godwit: {}\n", told.error().text);
    }

    // The outcome is the timeline's last record: no sample comes behind it.
    void record(const Json& data) {
        timeline_->write(data);
        if (data.value("record", "") == "outcome")
            timeline_ = nullptr;
    }

    static bool ended(const std::string& status) {
        return status == "completed" || status == "failed" || status == "cancelled" || status == "in-doubt";
    }

    void look() {
        const auto status = client_.execute("query-migrate");
        if (!status.ok())
            return;
        const Json ram = status->value("ram", Json::object());
        if (live_)
            show_progress(*status);
        if (timeline_ != nullptr && status->contains("total-time"))
            timeline_->write({{"record", "sample"},
                              {"at", status->value("total-time", 0)},
                              {"transferred", ram.value("transferred", std::uint64_t{0})},
                              {"remaining", ram.value("remaining", std::uint64_t{0})}});
    }

    void show_stall(const Json& data) {
        if (live_)
            clear_progress();
        const std::string action = data.value("action", "");
        std::string then = "it is given up";
        if (action == "throttle")
            then = fmt::format("the guest is slowed by {} %", data.value("cpu-throttle-percentage", 0));
        else if (action == "switch")
            then = "the guest is paused all the same";
        tell("no progress after round {}: {}; {}\n", data.value("round", 0), data.value("why", ""), then);
    }

    Status finish(const Json& data) {
        if (live_)
            clear_progress();
        if (data.value("status", "") != "completed")
            return outcome_error(data);
        print("migrated: {} in {} ms, downtime {} ms{}\n", bytes_text(data.value("transferred", 0.0)),
              data.value("total-time", 0), data.value("downtime", 0),
              data.value("over-limit", false) ? ", beyond the limit" : "");
        return {};
    }

    control::Client& client_;
    bool live_;
    control::TimelineFile* timeline_;
    bool begun_ = false;
};

struct MigrateOptions {
    std::string control_path;
    std::string address;
    ParameterOptions parameters;
    std::string timeline;
    bool detach = false;
    bool stay = false;
};

Status migrate(const MigrateOptions& options) {
    TRY(migration::Address::parse(options.address));
    Json arguments = TRY(options.parameters.values());
    arguments["quit"] = !options.detach && !options.stay;
    std::unique_ptr<control::TimelineFile> timeline;
    if (!options.timeline.empty()) {
        if (options.detach)
            return invalid_input(
                "--timeline is written while the migration lasts; with --detach nobody would");
        timeline = TRY(control::TimelineFile::create(options.timeline));
        arguments["timeline"] = true;
    }
    control::Client client = TRY(control::Client::connect(options.control_path));
    arguments["uri"] = TRY(address_for(client, options.address));
    const Interrupt interrupt;
    TRY(client.execute("migrate", arguments));
    if (options.detach)
        return {};
    return Follower{client, ::isatty(STDERR_FILENO) != 0, timeline.get()}.follow();
}

} // namespace

Result<std::string> address_for(control::Client& client, const std::string& text) {
    constexpr std::string_view kName = "peer";
    const migration::Address address = TRY(migration::Address::parse(text));
    if (address.kind != migration::Address::Kind::Fd)
        return text;
    if (!address.name.empty())
        return invalid_input("address '{}': a descriptor of this process has a number", text);
    TRY_IN(client.hand_over(address.fd, kName), text);
    return fmt::format("fd:{}", kName);
}

Command add_migrate(CLI::App& program) {
    auto options = std::make_shared<MigrateOptions>();
    CLI::App* const app =
        program.add_subcommand("migrate", "move the running guest to a waiting `godwit receive`");
    app->add_option("--control", options->control_path, "control socket of the machine that moves")
        ->required();
    app->add_option("address", options->address,
                    "where it goes: tcp:HOST:PORT, unix:PATH, or fd:N, a connected socket")
        ->required();
    options->parameters.add_to(*app);
    app->add_option("--timeline", options->timeline,
                    "write what happens to this file, as JSON lines; `godwit timeline` draws it");
    app->add_flag("-d,--detach", options->detach,
                  "return at once; `godwit status` tells how it goes, and how it went until `godwit quit`");
    app->add_flag("--stay", options->stay,
                  "leave the source's process there when the guest has moved, for questions");
    app->footer("^C cancels the migration, as `godwit cancel` does. "
                "On success the source process ends with status 0, unless it is to stay. On failure the "
                "guest goes on "
                "where it was.");
    return {app, [options] {
                const Status status = migrate(*options);
                return status.ok() ? ExitStatus::Success : report(status.error());
            }};
}

} // namespace godwit::cli
