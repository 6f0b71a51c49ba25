// SPDX-License-Identifier: Apache-2.0
#include "migration/source_attempt.h"

#include "vmm/base/log.h"

#include <algorithm>
#include <thread>

namespace godwit::migration {

using namespace std::chrono_literals;

Status SourceAttempt::open_links(const MigrationId& id, std::uint32_t connections, std::uint64_t agreed) {
    verifies_ = (agreed & kCanVerify) != 0;
    TransferOptions options;
    if ((agreed & (kCanZstd | kCanLz4)) != 0)
        options.compression = parameters().compression;
    options.max_bandwidth = [this] { return parameters().max_bandwidth; };
    const Cancel* const cancel = session_.channel().cancel();
    links_ = TRY(OutgoingLinks::create(port_.memory(), session_, progress_, cancel, std::move(options)));
    while (links_->connections() < connections) {
        auto channel =
            TRY_IN(options_.connect(cancel), fmt::format("connection {}", links_->connections() + 1));
        TRY(links_->attach(std::move(channel), id));
    }
    return {};
}

void SourceAttempt::halt_links() {
    if (links_ != nullptr)
        links_->halt();
}

std::uint64_t SourceAttempt::bytes_written() {
    return session_.channel().bytes_written() + (links_ != nullptr ? links_->bytes_written() : 0);
}

Status SourceAttempt::start_dirty_log() {
    logging_ = true; // also when it fails half-way
    return port_.start_dirty_log();
}

Status SourceAttempt::throttle(std::uint32_t percent) {
    if (percent == std::exchange(throttle_, percent))
        return {};
    progress_.update([&](ProgressSnapshot& now) { now.throttle = percent; });
    return port_.throttle(percent);
}

void SourceAttempt::end_throttle() {
    if (const auto ended = throttle(0); !ended.ok())
        log::error("the guest stays slowed: {}", ended.error().text);
}

Status SourceAttempt::pause() {
    state_before_ = port_.run_state();
    paused_ = true; // also when it fails half-way
    return port_.pause();
}

Status SourceAttempt::release_resources() {
    released_ = true; // also when it fails half-way
    return port_.release_resources();
}

void SourceAttempt::finish() {
    end_throttle();
    if (std::exchange(logging_, false))
        if (const auto stopped = port_.stop_dirty_log(); !stopped.ok())
            log::debug("the dirty log of the guest that left: {}", stopped.error().text);
}

void SourceAttempt::step(CustodyStep step) {
    if (const auto next = next_custody(custody_, step))
        custody_ = *next;
    progress_.update([&](ProgressSnapshot& now) { now.custody = custody_; });
}

Status SourceAttempt::reclaim(std::chrono::milliseconds limit) {
    if (!released_)
        return {};
    const auto until = std::chrono::steady_clock::now() + limit;
    for (auto wait = 1ms;; wait = std::min(wait * 2, 100ms)) {
        auto reclaimed = port_.reclaim_resources();
        released_ = !reclaimed.ok();
        if (!released_ || std::chrono::steady_clock::now() + wait > until)
            return reclaimed;
        std::this_thread::sleep_for(wait);
    }
}

Status SourceAttempt::roll_back() {
    tried_to_undo_ = true;
    end_throttle();
    if (custody_ != Custody::Here)
        return {};
    // A guest whose disks another host may be writing to must not run.
    TRY(reclaim(options_.reclaim_timeout));
    Status outcome;
    if (std::exchange(paused_, false))
        outcome = port_.resume(state_before_);
    if (std::exchange(logging_, false))
        if (const auto stopped = port_.stop_dirty_log(); !stopped.ok())
            log::warning("the dirty log could not be stopped: {}", stopped.error().text);
    return outcome;
}

} // namespace godwit::migration
