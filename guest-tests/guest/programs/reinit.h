// SPDX-License-Identifier: Apache-2.0
#pragma once
// When to reset a device and set it up again: reinit=N times in a run, one each 200 ms.
#include "base/options.h"
#include "machine/clock.h"

namespace guest {

class Reinit {
  public:
    constexpr Reinit() = default;
    void begin() { left_ = options.number("reinit", 0); }
    bool due(u64 now) {
        if (left_ == 0)
            return false;
        if (next_ == 0)
            next_ = now + period;
        return now >= next_;
    }
    void did(u64 now) {
        --left_;
        ++done_;
        next_ = now + period;
    }
    u64 done() const { return done_; }

  private:
    static constexpr u64 period = 200 * millisecond;
    u64 left_ = 0, done_ = 0, next_ = 0;
};

} // namespace guest
