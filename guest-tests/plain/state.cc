// SPDX-License-Identifier: Apache-2.0
#include "guest-tests/plain/state.h"

#include "guest-tests/plain/layout.h"

namespace godwit {

Status Schema<plain::ClockState>::validate(const plain::ClockState& state) {
    constexpr std::uint64_t kEnd = std::uint64_t{1} << 62; // in a century and a half
    if (state.now >= kEnd)
        return corrupt("{} ns", state.now);
    return {};
}

Status Schema<plain::CpuState>::validate(const plain::CpuState& state) {
    constexpr auto kLast = static_cast<std::uint8_t>(plain::WorkerPhase::Failed);
    if (state.phase > kLast || state.failed_in > kLast)
        return corrupt("phase {}, failed in {}", state.phase, state.failed_in);
    return {};
}

Status Schema<plain::ProgramsState>::validate(const plain::ProgramsState& state) {
    if (state.stage > static_cast<std::uint8_t>(plain::Stage::Off))
        return corrupt("stage {}", state.stage);
    if (state.output_begin >= plain::Layout::kOutputBytes || state.output_size > plain::Layout::kOutputBytes)
        return corrupt("output of {} bytes at {}", state.output_size, state.output_begin);
    return {};
}

} // namespace godwit
