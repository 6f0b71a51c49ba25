// SPDX-License-Identifier: Apache-2.0
#include "programs/heartbeat.h"

#include "base/options.h"
#include "machine/clock.h"
#include "machine/io.h"
#include "machine/serial.h"

#include <algorithm>

namespace guest {

bool Heartbeat::start() {
    bytes_ = options.text("heartbeat.mode", "line") == "bytes";
    period_ = options.number("heartbeat.period", bytes_ ? 1000 : 100'000) * microsecond;
    due_ = clock.now() + period_;
    Report("heartbeat").add("mode", bytes_ ? "bytes" : "line").add("period_us", period_ / microsecond);
    return true;
}

u64 Heartbeat::step(u64 now) {
    if (period_ == 0)
        return ~u64{0};
    if (now < due_)
        return due_;
    if (last_ != 0)
        longest_gap_ = std::max(longest_gap_, now - last_);
    last_ = now;
    if (bytes_)
        serial::put(static_cast<char>('a' + beats_ % 26));
    else
        Report("heartbeat").add("n", beats_).add("tsc", read_tsc());
    ++beats_;
    due_ += period_;
    if (due_ <= now) {
        ++late_;
        due_ = now + period_;
    }
    return due_;
}

void Heartbeat::print_status() const {
    Report("heartbeat")
        .add("beats", beats_)
        .add("late", late_)
        .add("longest_gap_us", longest_gap_ / microsecond)
        .add("tsc_behind_us", clock.tsc_behind() / microsecond);
}

} // namespace guest
