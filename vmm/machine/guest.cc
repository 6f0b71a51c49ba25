// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/guest.h"

namespace godwit {

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

Status Guest::reset() {
    const std::lock_guard lock{life_};
    for (StateSection* const section : sections())
        section->discard_load();
    TRY(clear());
    stopped_by_guest_ = GuestStop::None;
    return {};
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
    TRY(start());
    holds_ = 0;
    return {};
}

} // namespace godwit
