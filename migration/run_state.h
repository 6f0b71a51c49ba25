// SPDX-License-Identifier: Apache-2.0
//
// What the guest did when it was paused for the move; it does the same on the other side.
#pragma once

#include <string_view>

namespace godwit::migration {

// IoError: it stands still because a request to a disk failed, and goes on when that is tried again.
enum class RunState { Running, Paused, IoError };

inline constexpr RunState kLastRunState = RunState::IoError;

// QEMU's names (qapi/run-state.json).
constexpr std::string_view to_string(RunState state) {
    switch (state) {
    case RunState::Running:
        return "running";
    case RunState::Paused:
        break;
    case RunState::IoError:
        return "io-error";
    }
    return "paused";
}

} // namespace godwit::migration
