// SPDX-License-Identifier: Apache-2.0
//
// Told of a migration as it happens, for events, logs and the timeline. Called on the migration's thread: it
// must not wait.
#pragma once

#include "migration/policy.h"
#include "migration/report.h"
#include "vmm/base/result.h"

namespace godwit::migration {

class Observer {
  public:
    virtual ~Observer() = default;
    // The source has sent a round while the guest ran, and decided what comes next.
    virtual void round_ended(const RoundReport& round, const Decision& decision) = 0;
    // The attempt is over: all of its report, or as far as it came and why it came no further.
    virtual void ended(const Report& report, const Error* reason) = 0;
};

} // namespace godwit::migration
