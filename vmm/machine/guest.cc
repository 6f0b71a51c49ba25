// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/guest.h"

#include "vmm/base/log.h"

#include <chrono>
#include <thread>

namespace godwit {

namespace {
constexpr std::chrono::milliseconds kLockPatience{1500}; // more than twice what was seen
constexpr std::chrono::milliseconds kLockLook{20};
} // namespace

Error stop_error(GuestStop stop) {
    switch (stop) {
    case GuestStop::PowerOff:
        return error(ErrorCode::GuestEnded, "the guest has powered itself off");
    case GuestStop::Crash:
        return error(ErrorCode::Guest, "the guest has crashed");
    case GuestStop::Reset:
    case GuestStop::None:
        break;
    }
    return error(ErrorCode::Cancelled, "the guest was reset");
}

Status Guest::lock_disks_at_start() {
    using Clock = std::chrono::steady_clock;
    for (const auto until = Clock::now() + kLockPatience;;) {
        Status locked = lock_disks();
        if (locked.ok() || locked.error().code != ErrorCode::NoDevice || Clock::now() >= until)
            return locked;
        std::this_thread::sleep_for(kLockLook);
    }
}

Status Guest::reset() {
    const std::lock_guard lock{life_};
    for (StateSection* const section : sections())
        section->discard_load();
    TRY(clear());
    stopped_by_guest_ = GuestStop::None;
    return {};
}

migration::BootSourcePtr Guest::boot_source() const {
    const std::lock_guard lock{boot_mutex_};
    return given_ != nullptr ? given_ : came_;
}

void Guest::set_given_boot_source(migration::BootSourcePtr source) {
    const std::lock_guard lock{boot_mutex_};
    given_ = std::move(source);
}

void Guest::set_boot_source_that_came(migration::BootSourcePtr source) {
    const std::lock_guard lock{boot_mutex_};
    if (source != nullptr && given_ != nullptr) {
        log::info("the guest will reboot with the kernel {} that was given here, not with the one that came "
                  "with it",
                  given_->kernel_name);
        source.reset(); // nobody would use it
    }
    came_ = std::move(source);
}

Status Guest::hold(Hold reason) {
    const std::lock_guard lock{life_};
    const unsigned before = holds_.fetch_or(static_cast<unsigned>(reason));
    if (before != 0)
        return {};
    Status stopped = stop();
    if (stopped.ok())
        return {};
    // Who was told that it does not stand still must find it running.
    if (const Status started = start(); !started.ok())
        return std::move(stopped).error().in(
            fmt::format("the guest neither stops nor goes on ({})", started.error().text));
    holds_ = 0;
    return stopped;
}

Status Guest::release(Hold reason) {
    const std::lock_guard lock{life_};
    const unsigned before = holds_.load();
    const unsigned after = before & ~static_cast<unsigned>(reason);
    if (before == 0 || after != 0) {
        holds_ = after;
        return {};
    }
    holds_ = 0; // before: who hears of the guest and asks finds it running
    Status started = start();
    if (!started.ok())
        holds_ = before;
    return started;
}

} // namespace godwit
