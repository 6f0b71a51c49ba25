// SPDX-License-Identifier: Apache-2.0
//
// One godwit process: a machine, its loop, its control socket, and the migrations into and out of it.
//
// Threads: run() turns its caller into the conductor, which alone starts, pauses, resumes and ends the
// machine, by tasks from a queue. Requests arrive on the loop's thread and are answered from whichever thread
// has the answer.
#pragma once

#include "vmm/control/checker.h"
#include "vmm/control/exit.h"
#include "vmm/control/incoming.h"
#include "vmm/control/outgoing.h"
#include "vmm/control/qmp_server.h"
#include "vmm/control/task_queue.h"
#include "vmm/control/timeline.h"
#include "vmm/control/timeline_file.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/guest.h"
#include "vmm/machine/guest_factory.h"
#include "vmm/machine/stream_file.h"
#include "vmm/sandbox/sandbox.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace godwit::control {

struct InstanceOptions {
    MachineConfig machine;
    std::string control_path; // no control socket when empty
    std::string incoming;     // where to wait for a migration
    Fd restore_from;          // where `restore` is, when it is open already
    std::string restore;      // a saved stream to go on from; with neither, the kernel is booted
    ChangedDisks changed_disks = ChangedDisks::Refuse; // since it was saved
    std::vector<std::string> accepted; // codes of reasons (migration/preflight) that do not refuse a guest
    // Of a receiver: how long the source may say nothing.
    std::chrono::milliseconds peer_timeout = migration::kDefaultTimeout;
    migration::TlsOptions tls;
    bool insecure = false;      // receive without TLS from other hosts
    std::string timeline;       // of a receiver: the file to which the timeline goes
    bool once = false;          // a receiver ends after its first failed attempt
    bool end_with_guest = true; // and when the guest that was to come has powered itself off
    bool start_paused = false;
    bool no_reboot = false;
    sandbox::Options sandbox;
};

class Instance final : private MachineEvents {
  public:
    static Result<std::unique_ptr<Instance>> create(InstanceOptions options, const GuestFactory& factory);
    ~Instance() override;

    // Until the guest, an operator or a migration ends it. The error, if any, was logged.
    ExitStatus run();
    // Who ends or restarts a guest; as SHUTDOWN and RESET tell it, in QEMU's words.
    enum class Cause { Guest, Client, Signal };

    // Any thread: ends run() with success.
    void quit(Cause cause);

  private:
    friend struct Commands;

    explicit Instance(InstanceOptions options) : options_(std::move(options)) {}
    Status set_up(const GuestFactory& factory);
    // Everything that the command line names is open: from here on each thread has what its role needs.
    Status close_door();

    // MachineEvents: on the threads that run the guest, or the loop's.
    void guest_powered_off() override;
    void guest_reset() override;
    void guest_crashed(Error why) override;
    void disk_failed(DiskFailure failure) override;

    struct MoveOptions {
        bool timeline_events = false;
        bool quit =
            false; // when the guest has moved; otherwise this process can be asked until it is told to end
    };

    struct Move {
        migration::Address address;
        migration::Parameters parameters;
        MoveOptions options;
    };

    // ---- the conductor's tasks

    Status begin();
    void end(ExitStatus status);
    Status stop();
    Status cont();
    Status stop_for_disk(const DiskFailure& failure);
    Status restart(Cause cause);
    // Ends the migration that is under way because of what the guest did; the guest's next run is to be moved
    // then. Nothing when there is none.
    Result<std::optional<Move>> interrupt_migration();
    Status start_migration(const migration::Address& address, const migration::Parameters& parameters,
                           const MoveOptions& options);
    Status start_check(const migration::Address& address, const migration::Parameters& parameters,
                       std::function<void(const Checker::Answer&)> answered);
    void migration_ended(const Outgoing::Outcome& outcome);
    void guest_arrived();
    Status restore();
    // `given`: a descriptor to write to, named `place`; null when `place` is to be opened.
    Status save(const std::string& place, const std::shared_ptr<Fd>& given, AfterSave after);

    // ---- any thread

    std::string_view status_name() const; // QEMU's RunState
    Json migration_status() const;
    void migration_record(const Json& record);
    void broadcast(std::string_view name, Json data = Json::object());

    InstanceOptions options_;                   // constant, but for what restore() takes
    std::unique_ptr<migration::Cancel> ending_; // what keeps the conductor waiting ends with it
    TaskQueue tasks_;
    std::optional<ExitStatus> ended_; // conductor only
    std::unique_ptr<Loop> loop_;
    std::thread loop_thread_;
    std::unique_ptr<Guest> guest_;
    migration::CostMemory costs_;
    Timeline timeline_{[this](const Json& record) { migration_record(record); }};
    std::atomic<bool> timeline_events_{false}; // of the migration that runs
    // The conductor's:
    Move move_;                // that is under way
    unsigned interrupted_ = 0; // whose ends nobody is to hear of: they begin again
    std::unique_ptr<TimelineFile> timeline_file_;
    Timeline incoming_timeline_{[this](const Json& record) {
        if (timeline_file_ != nullptr)
            timeline_file_->write(record);
    }};
    std::unique_ptr<Outgoing> outgoing_;
    std::unique_ptr<Checker> checker_;
    std::unique_ptr<Incoming> incoming_;
    std::atomic<const Incoming*> waiting_{nullptr};      // the same, for the loop
    std::shared_ptr<const UnixListener> control_socket_; // whose file goes after the server
    std::unique_ptr<QmpServer> server_;                  // loop
};

} // namespace godwit::control
