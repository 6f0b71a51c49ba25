// SPDX-License-Identifier: Apache-2.0
//
// What the guest did when it was paused for the move; it does the same on the other side.
#pragma once

#include <string_view>

namespace godwit::migration {

enum class RunState { Running, Paused };

// QEMU's names (qapi/run-state.json).
constexpr std::string_view to_string(RunState state) {
    return state == RunState::Running ? "running" : "paused";
}

} // namespace godwit::migration
