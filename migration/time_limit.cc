// SPDX-License-Identifier: Apache-2.0
#include "migration/time_limit.h"

#include "vmm/sandbox/sandbox.h"

#include <fmt/core.h>

namespace godwit::migration {

TimeLimit::TimeLimit(const LiveParameters& parameters, Cancel& cancel) {
    using Clock = std::chrono::steady_clock;
    thread_ = std::jthread{[&parameters, &cancel, begun = Clock::now()](const std::stop_token& stop) {
        sandbox::enter(sandbox::Role::Worker);
        const auto end = [&](const Parameters& now) {
            // None: it is looked at again tomorrow.
            return now.timeout.count() != 0 ? begun + now.timeout : Clock::now() + std::chrono::days{1};
        };
        const auto over = [&](const Parameters& now) {
            return now.timeout.count() != 0 && Clock::now() >= end(now);
        };
        if (parameters.wait(stop, end, over))
            cancel.request(fmt::format("the migration was not done within its time limit of {} s",
                                       parameters.get().timeout.count()));
    }};
}

} // namespace godwit::migration
