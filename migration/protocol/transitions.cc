// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/transitions.h"

namespace godwit::migration {

std::string_view to_string(SourceState state) {
    static constexpr std::string_view kNames[] = {
        "connected", "greeted",   "live",        "round sent", "final round", "RAM sent", "state sent",
        "prepared",  "committed", "handed over", "returned",   "failed",      "checked"};
    return kNames[static_cast<std::size_t>(state)];
}

std::string_view to_string(DestinationState state) {
    static constexpr std::string_view kNames[] = {
        "connected",    "greeted",        "live",     "round received", "final round",
        "RAM received", "state received", "prepared", "committed",      "running",
        "relinquished", "failed",         "checked"};
    return kNames[static_cast<std::size_t>(state)];
}

std::string_view to_string(AskerState state) {
    static constexpr std::string_view kNames[] = {"connected", "asked", "runs", "never", "unknown", "failed"};
    return kNames[static_cast<std::size_t>(state)];
}

std::string_view to_string(AnswererState state) {
    static constexpr std::string_view kNames[] = {"connected", "asked", "answered", "failed"};
    return kNames[static_cast<std::size_t>(state)];
}

} // namespace godwit::migration
