// SPDX-License-Identifier: Apache-2.0
//
// What a source's attempt holds while it lasts, and how it is undone. Its destructor leaves a guest that does
// what it did before, unless the guest was given away. One thread.
#pragma once

#include "migration/protocol/ownership.h"
#include "migration/protocol/session.h"
#include "migration/ram/outgoing_links.h"
#include "migration/source.h"

#include <string>

namespace godwit::migration {

class SourceAttempt {
  public:
    SourceAttempt(MachinePort& port, Channel& channel, const SourceOptions& options, Progress& progress)
        : port_(port), session_(channel), options_(options), progress_(progress) {}
    ~SourceAttempt() {
        if (!tried_to_undo_)
            (void)roll_back();
    }
    SourceAttempt(const SourceAttempt&) = delete;
    SourceAttempt& operator=(const SourceAttempt&) = delete;

    MachinePort& port() { return port_; }
    SourceSession& session() { return session_; }
    const SourceOptions& options() const { return options_; }
    // As they are now.
    Parameters parameters() const {
        return options_.parameters != nullptr ? options_.parameters->get() : Parameters{};
    }
    Progress& progress() { return progress_; }
    Report& report() { return report_; }

    // Makes the connections besides the first one. `agreed` are capabilities.
    Status open_links(const MigrationId& id, std::uint32_t connections, std::uint64_t agreed);
    bool verifies() const { return verifies_; }
    OutgoingLinks& links() { return *links_; }
    // Stops the transfer of RAM; the connections stay until the destination was told why.
    void halt_links();
    std::uint64_t bytes_written();

    Status start_dirty_log();
    // Slows the guest by so many percent from now on, until the attempt is over.
    Status throttle(std::uint32_t percent);
    std::uint32_t throttled() const { return throttle_; }
    // Remembers what the guest did.
    Status pause();
    bool is_paused() const { return paused_; }
    Status release_resources();
    RunState state_before() const { return state_before_; }

    // Of this migration, once it has one.
    const MigrationId& id() const { return id_; }
    void set_id(const MigrationId& id) { id_ = id; }

    // Whose the guest is. While it is not ours, nothing is undone.
    Custody custody() const { return custody_; }
    void step(CustodyStep step);
    // The dirty log and the throttle of a guest that is gone.
    void finish();

    // Takes the disks back, if they were let go of; tries for `limit`.
    Status reclaim(std::chrono::milliseconds limit);
    // Undoes what was done, in reverse; the error says why the guest could not be set going again. It may be
    // called again then.
    Status roll_back();

  private:
    void end_throttle();

    MachinePort& port_;
    SourceSession session_;
    const SourceOptions& options_;
    Progress& progress_;
    Report report_;
    std::unique_ptr<OutgoingLinks> links_;
    bool verifies_ = false;
    RunState state_before_ = RunState::Paused;
    std::uint32_t throttle_ = 0;
    bool logging_ = false;
    bool paused_ = false;
    bool released_ = false;
    bool tried_to_undo_ = false;
    MigrationId id_{};
    Custody custody_ = Custody::Here;
};

} // namespace godwit::migration
