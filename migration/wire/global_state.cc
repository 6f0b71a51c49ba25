// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/global_state.h"

#include "migration/printable.h"

#include <algorithm>

namespace godwit::migration::wire {

namespace {

constexpr std::string_view kNotRunning[] = {
    "debug",      "inmigrate", "internal-error", "paused",    "postmigrate",    "prelaunch", "finish-migrate",
    "restore-vm", "save-vm",   "shutdown",       "suspended", "guest-panicked", "watchdog"};

} // namespace

GlobalState global_state_of(RunState state) {
    const std::string_view name = to_string(state);
    GlobalState global;
    global.size = static_cast<std::uint32_t>(name.size() + 1);
    std::ranges::copy(std::as_bytes(std::span{name}), global.runstate.begin());
    return global;
}

Result<RunState> run_state_of(const GlobalState& state) {
    const std::string_view field{reinterpret_cast<const char*>(state.runstate.data()), state.runstate.size()};
    const std::size_t end = field.find('\0');
    if (end == std::string_view::npos)
        return corrupt("the run state has no end");
    const std::string_view name = field.substr(0, end);
    for (const RunState own : {RunState::Running, RunState::IoError})
        if (name == to_string(own))
            return own;
    if (std::ranges::find(kNotRunning, name) != std::end(kNotRunning))
        return RunState::Paused;
    return corrupt("unknown run state '{}'", printable(name));
}

} // namespace godwit::migration::wire

namespace godwit {

Status Schema<migration::wire::GlobalState>::validate(const S& state) {
    TRY(migration::wire::run_state_of(state));
    return {};
}

} // namespace godwit
