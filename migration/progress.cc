// SPDX-License-Identifier: Apache-2.0
#include "migration/progress.h"

namespace godwit::migration {

std::string_view to_string(MigrationStatus status) {
    static constexpr std::string_view kNames[] = {"none",           "setup",     "active",
                                                  "pre-switchover", "device",    "completed",
                                                  "failed",         "cancelled", "in-doubt"};
    return kNames[static_cast<std::size_t>(status)];
}

ProgressSnapshot Progress::snapshot() const {
    const std::lock_guard lock{mutex_};
    ProgressSnapshot now = now_;
    if (running_)
        now.total_time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_);
    return now;
}

void Progress::begin(std::uint64_t ram_total) {
    const std::lock_guard lock{mutex_};
    now_ = {};
    now_.status = MigrationStatus::Setup;
    now_.ram_total = ram_total;
    now_.ram_remaining = ram_total;
    begun_ = Clock::now();
    running_ = true;
}

void Progress::set_status(MigrationStatus status) {
    {
        const std::lock_guard lock{mutex_};
        now_.status = status;
        if (running_ && status == MigrationStatus::Active)
            now_.setup_time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_);
    }
    if (changed_)
        changed_(status);
}

void Progress::finish(MigrationStatus status, std::optional<Error> error) {
    const std::lock_guard lock{mutex_};
    now_.status = status;
    now_.error = std::move(error);
    if (running_) // it may fail before it began
        now_.total_time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_);
    running_ = false;
}

} // namespace godwit::migration
