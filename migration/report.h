// SPDX-License-Identifier: Apache-2.0
//
// What a finished migration was: plain numbers, the same struct on both sides. Values that a side cannot know
// are zero there.
#pragma once

#include "migration/preflight/difference.h"
#include "migration/run_state.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace godwit::migration {

using Duration = std::chrono::microseconds;

struct RoundReport {
    std::uint32_t number = 0; // from 1
    std::uint64_t pages = 0;  // sent or received, zero pages included
    std::uint64_t zero_pages = 0;
    std::uint64_t bytes = 0; // in the channel
    Duration duration{};
    // Of the source, after the round:
    double bytes_per_second = 0;
    std::uint64_t dirty_pages = 0; // written by the guest meanwhile
    double dirty_pages_per_second = 0;
    Duration expected_downtime{}; // of which:
    Duration fixed_cost{};        // does not depend on the pages that are left
    std::uint32_t throttle = 0;   // percent, while it was sent
    bool stalled = false;         // rounds bring no progress
};

struct Report {
    // Destination: the source only asked, and got this answer; nothing else here has a value.
    std::optional<Differences> check;

    RunState state = RunState::Paused; // of the guest, on both sides of the move

    Duration setup{};                // connection in hand to RAM moving
    std::vector<RoundReport> rounds; // while the guest ran; at least one
    RoundReport final_round;         // while it was paused

    // The parts of the downtime, in order. Source:
    Duration pause{};
    Duration verify{}; // comparing all of RAM, when that was asked
    Duration save{};
    Duration send{};  // the device state
    Duration ready{}; // waiting for READY
    Duration commit_to_running{};
    // Destination, inside of the source's `ready` and `commit_to_running`:
    Duration load{};
    Duration apply{};
    Duration take_over{};

    Duration downtime{};   // source: pause called to RUNNING received; destination: FINAL_ROUND to running
    Duration fixed_cost{}; // of the downtime, what did not depend on the pages that were left
    Duration total{};

    std::uint64_t bytes = 0; // in the channel, everything
    std::uint64_t data_pages = 0;
    std::uint64_t zero_pages = 0;
    std::uint64_t state_bytes = 0;
    // Destination: pages that the guest wrote to while they were on their way, and that came again.
    std::uint64_t repaired_pages = 0;
    // Of the source, when the guest was to be paused:
    bool stalled = false;         // rounds brought no progress
    bool over_limit = false;      // the forecast exceeded the limit, as the operator wanted (OnStall::Switch)
    Duration expected_downtime{}; // the forecast
    Duration downtime_limit{};

    std::vector<std::string> save_trace;
    std::vector<std::string> load_trace;
};

} // namespace godwit::migration
