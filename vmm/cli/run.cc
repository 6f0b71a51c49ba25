// SPDX-License-Identifier: Apache-2.0
//
// godwit run, godwit receive, godwit restore: the subcommands that are a machine.
#include "migration/preflight/difference.h"
#include "vmm/cli/commands.h"
#include "vmm/cli/machine_options.h"
#include "vmm/cli/output.h"
#include "vmm/control/instance.h"

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>

namespace godwit::cli {

namespace {

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        // What was ignored when we were started (nohup, a job in a script's background) stays so: waited for,
        // it would come all the same.
        struct sigaction now {};
        if (signal == SIGTERM || ::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_IGN)
            sigaddset(&set, signal);
    }
    return set;
}

// What ends a process ends the machine in order: also when its terminal has gone. A thread of its own waits
// for them; every other thread has them blocked, so no handler runs anywhere.
class QuitOnSignals {
  public:
    // Call before any other thread exists.
    static void block() {
        const sigset_t set = ending_signals();
        pthread_sigmask(SIG_BLOCK, &set, nullptr);
    }

    explicit QuitOnSignals(control::Instance& instance)
        : thread_([this, &instance] {
              sandbox::enter(sandbox::Role::Worker, "signals");
              const sigset_t set = ending_signals();
              int signal = 0;
              while (sigwait(&set, &signal) == 0 && !ending_)
                  instance.quit(control::Instance::Cause::Signal);
          }) {}
    ~QuitOnSignals() {
        ending_ = true;
        pthread_kill(thread_.native_handle(), SIGTERM);
        thread_.join();
    }

  private:
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

// For those that take over a guest: its option and its check.
void add_accept(CLI::App& app, std::vector<std::string>& codes) {
    app.add_option("--accept", codes,
                   "a reason (its code, docs/preflight.md) that is not to refuse a guest here, "
                   "host.memory-short say; may be repeated")
        ->take_all();
}

Status check_accepted(const std::vector<std::string>& codes) {
    for (const std::string& code : codes)
        TRY_IN(migration::check_acceptable(code), "--accept");
    return {};
}

// What the three have in common.
Result<control::InstanceOptions> instance_options(const MachineOptions& machine, const BootOptions& boot) {
    control::InstanceOptions instance;
    instance.machine = TRY(machine.config());
    boot.apply(instance.machine);
    instance.control_path = machine.control_path;
    instance.sandbox = TRY(machine.sandbox());
    return instance;
}

ExitStatus run_instance(control::InstanceOptions options, const GuestFactory& factory) {
    QuitOnSignals::block();
    if (const Status status = check_accepted(options.accepted); !status.ok())
        return report(status.error());
    if (const Status status = complete(options.machine); !status.ok())
        return report(status.error());
    if (const Status status = sandbox::begin(options.sandbox); !status.ok())
        return report(status.error());
    auto instance = control::Instance::create(std::move(options), factory);
    if (!instance.ok())
        return report(instance.error());
    const QuitOnSignals signals{**instance};
    return (*instance)->run();
}

} // namespace

Command add_run(CLI::App& program, const GuestFactory& factory) {
    struct Options {
        MachineOptions machine;
        BootOptions boot;
        bool paused = false;
        bool no_reboot = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app = program.add_subcommand("run", "boot a guest and run it until it powers off");
    options->boot.add_to(*app, BootOptions::For::Start);
    options->machine.add_to(*app);
    app->add_flag("--paused", options->paused, "do not start the guest; `godwit resume` does");
    app->add_flag("--no-reboot", options->no_reboot, "end, with status 0, when the guest resets");
    return {app, [options, factory] {
                auto made = instance_options(options->machine, options->boot);
                if (!made.ok())
                    return report(made.error());
                control::InstanceOptions& instance = *made;
                instance.start_paused = options->paused;
                instance.no_reboot = options->no_reboot;
                return run_instance(std::move(instance), factory);
            }};
}

Command add_receive(CLI::App& program, const GuestFactory& factory) {
    struct Options {
        MachineOptions machine;
        BootOptions boot;
        std::string address;
        long peer_timeout = std::chrono::floor<std::chrono::seconds>(migration::kDefaultTimeout).count();
        migration::TlsOptions tls;
        bool insecure = false;
        std::string timeline;
        std::vector<std::string> accepted;
        bool once = false;
        std::string on_power_off = "end";
        bool no_reboot = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app = program.add_subcommand(
        "receive", "wait for a guest from another godwit, and run it once this process owns it");
    app->add_option("address", options->address, "where to listen: tcp:HOST:PORT, tcp:[::]:PORT or unix:PATH")
        ->required();
    options->machine.add_to(*app);
    options->boot.add_to(*app, BootOptions::For::Later);
    app->add_option("--peer-timeout", options->peer_timeout,
                    "seconds without a word of the source after which the attempt has failed")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    app->add_option("--tls-certs", options->tls.x509_folder,
                    "only by TLS, with the certificates in this folder: ca-cert.pem, server-cert.pem, "
                    "server-key.pem");
    app->add_option(
        "--tls-peer", options->tls.peers,
        "a name of which a source's certificate must have one; may be repeated. Without it, whoever "
        "ca-cert.pem has signed is believed");
    app->add_option("--tls-psk", options->tls.psk_file,
                    "only by TLS, with a key that both sides have: a file with lines IDENTITY:HEXKEY");
    app->add_flag("--insecure", options->insecure,
                  "listen without TLS on an address that other hosts can reach: whoever connects may bring a "
                  "guest");
    app->add_option("--timeline", options->timeline,
                    "write the last attempt's timeline to this file, as JSON lines (docs/timeline.md)");
    add_accept(*app, options->accepted);
    app->add_flag("--once", options->once, "end when an attempt fails, with the status that says why");
    app->add_option(
           "--on-power-off", options->on_power_off,
           "when the guest that is on its way powers itself off: end, with status 9, or wait for another")
        ->check(CLI::IsMember({"end", "wait"}))
        ->capture_default_str();
    app->add_flag("--no-reboot", options->no_reboot, "end, with status 0, when the guest resets");
    app->footer(
        "Memory, vCPUs and devices must be those of the source; disks and taps are this host's own. A failed "
        "attempt is\nlogged, and the process waits for the next one.");
    return {app, [options, factory] {
                auto made = instance_options(options->machine, options->boot);
                if (!made.ok())
                    return report(made.error());
                control::InstanceOptions& instance = *made;
                instance.incoming = options->address;
                instance.peer_timeout = std::chrono::seconds{options->peer_timeout};
                instance.tls = options->tls;
                instance.sandbox.key_file = options->tls.psk_file;
                instance.insecure = options->insecure;
                instance.timeline = options->timeline;
                instance.accepted = options->accepted;
                instance.once = options->once;
                instance.end_with_guest = options->on_power_off == "end";
                instance.no_reboot = options->no_reboot;
                return run_instance(std::move(instance), factory);
            }};
}

Command add_restore(CLI::App& program, const GuestFactory& factory) {
    struct Options {
        MachineOptions machine;
        BootOptions boot;
        std::string file;
        std::vector<std::string> accepted;
        bool disks_changed = false;
        bool paused = false;
        bool no_reboot = false;
    };
    auto options = std::make_shared<Options>();
    CLI::App* const app = program.add_subcommand("restore", "go on with a guest that was saved to a file");
    app->add_option(
           "file", options->file,
           "what `godwit save`, or a QEMU 7.2 of the same board, wrote: a file, a FIFO, - for standard "
           "input, or unix:PATH, to wait for it on a socket")
        ->required();
    options->machine.add_to(*app);
    options->boot.add_to(*app, BootOptions::For::Later);
    add_accept(*app, options->accepted);
    app->add_flag("--disks-changed", options->disks_changed,
                  "go on although a disk was written since the guest was saved, which it does not know of");
    app->add_flag("--paused", options->paused, "do not start the guest; `godwit resume` does");
    app->add_flag("--no-reboot", options->no_reboot, "end, with status 0, when the guest resets");
    app->footer("Memory, vCPUs and devices must be those of the saved machine, and the disks must hold what "
                "they held\n"
                "when it was saved, which the time of a file tells. A guest that was paused stays paused.");
    return {app, [options, factory] {
                auto made = instance_options(options->machine, options->boot);
                if (!made.ok())
                    return report(made.error());
                control::InstanceOptions& instance = *made;
                instance.restore = options->file;
                if (options->file == "-" || options->file == "/dev/stdin") {
                    auto stream = take_standard_input();
                    if (!stream.ok())
                        return report(stream.error());
                    instance.restore_from = std::move(stream).value();
                }
                instance.accepted = options->accepted;
                instance.changed_disks = options->disks_changed ? ChangedDisks::Take : ChangedDisks::Refuse;
                instance.start_paused = options->paused;
                instance.no_reboot = options->no_reboot;
                return run_instance(std::move(instance), factory);
            }};
}

} // namespace godwit::cli
