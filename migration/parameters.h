// SPDX-License-Identifier: Apache-2.0
//
// What an operator may ask of a migration. vmm/control/migration_parameters.h has the names, units, ranges
// and meanings by which they are set.
#pragma once

#include "migration/channel/channel.h"

#include <chrono>
#include <mutex>

namespace godwit::migration {

struct Parameters {
    std::chrono::milliseconds downtime_limit{300};
    std::chrono::seconds peer_timeout = std::chrono::floor<std::chrono::seconds>(kDefaultTimeout);

    bool operator==(const Parameters&) const = default;
};

// The parameters of a migration that runs: it looks at them again wherever a change can still have an effect.
// Any thread.
class LiveParameters {
  public:
    explicit LiveParameters(Parameters parameters = {}) : parameters_(std::move(parameters)) {}

    Parameters get() const {
        const std::lock_guard lock{mutex_};
        return parameters_;
    }
    void set(Parameters parameters) {
        const std::lock_guard lock{mutex_};
        parameters_ = std::move(parameters);
    }

  private:
    mutable std::mutex mutex_;
    Parameters parameters_;
};

} // namespace godwit::migration
