// SPDX-License-Identifier: Apache-2.0
//
// How far a migration is, for whoever asks (query-migrate): the names are QEMU's where the meaning agrees.
// The migration's thread writes, any thread reads.
#pragma once

#include "migration/protocol/ownership.h"
#include "vmm/base/address.h"
#include "vmm/base/result.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::migration {

// QEMU's MigrationStatus (qapi/migration.json), and one that QEMU does not know.
enum class MigrationStatus {
    None,
    Setup,         // connected, comparing the machines
    Active,        // RAM moves, the guest runs
    PreSwitchover, // the guest is paused, and an operator has the word
    Device,        // the guest is paused: the last round, the device state
    Completed,
    Failed,
    Cancelled,
    InDoubt, // COMMIT was sent and nothing came back, or the disks cannot be taken back: it stays paused
};
std::string_view to_string(MigrationStatus status);

struct ProgressSnapshot {
    MigrationStatus status = MigrationStatus::None;
    std::optional<Error> error;      // of Failed, Cancelled and InDoubt
    Custody custody = Custody::Here; // of a source

    // ram:
    std::uint64_t ram_total = 0;        // bytes
    std::uint64_t ram_transferred = 0;  // bytes in the channel
    std::uint64_t ram_remaining = 0;    // bytes of pages that this round still has to send or to get
    std::uint64_t duplicate = 0;        // zero pages
    std::uint64_t normal = 0;           // pages with data
    double mbps = 0;                    // 10^6 bits a second, in the last round or so far in the first
    std::uint64_t dirty_sync_count = 0; // rounds
    std::uint64_t dirty_pages_rate = 0; // pages a second
    std::uint64_t page_size = kPageSize;

    bool stalled = false; // rounds bring no progress
    bool writing_back =
        false; // the guest's disk writes are on their way to stable storage, and are waited for
    std::uint32_t throttle = 0; // percent by which the guest is slowed

    std::chrono::milliseconds expected_downtime{0};
    std::optional<std::chrono::milliseconds> downtime; // known when completed
    std::chrono::milliseconds setup_time{0};
    std::chrono::milliseconds total_time{0}; // so far, or of the whole migration once it is over
};

class Progress {
  public:
    ProgressSnapshot snapshot() const;
    // `changed` hears of every status but the last, on the migration's thread. Before the migration begins.
    void on_status(std::function<void(MigrationStatus)> changed) { changed_ = std::move(changed); }

    // For the migration's thread.
    void begin(std::uint64_t ram_total);
    void set_status(MigrationStatus status);
    void finish(MigrationStatus status, std::optional<Error> error);
    // Runs `change` on the values under the lock.
    template <class Change>
    void update(Change&& change) {
        const std::lock_guard lock{mutex_};
        change(now_);
    }

  private:
    using Clock = std::chrono::steady_clock;
    mutable std::mutex mutex_;
    ProgressSnapshot now_;
    Clock::time_point begun_{};
    bool running_ = false;
    std::function<void(MigrationStatus)> changed_;
};

} // namespace godwit::migration
