// SPDX-License-Identifier: Apache-2.0
#pragma once
// A program: what runs in the guest until it is told to finish.  All share the first CPU and take turns:
// step() does a small piece of work and says when it wants to be called again (any interrupt calls it
// earlier).
#include "base/report.h"
#include "base/types.h"

#include <string_view>

namespace guest {

class Program {
  public:
    virtual std::string_view name() const = 0;
    virtual bool start() = 0; // false: it failed, and has said why
    virtual bool ready() const { return true; }
    virtual u64 step(u64 now) = 0;
    virtual void print_status() const = 0; // one report line

    // After begin_finish(), step() works towards finished(): drain, then verify everything.
    virtual void begin_finish() {}
    virtual bool finished() const { return true; }

  protected:
    constexpr Program() = default;
    ~Program() = default;
};

inline constinit u64 failures = 0;

// A report line that fails the whole run: Failure("mem", "stale_page").add_hex("page", address);
class Failure : public Report {
  public:
    Failure(std::string_view program, std::string_view what) : Report("fail") {
        add("prog", program).add("what", what);
        ++failures;
    }
};

} // namespace guest
