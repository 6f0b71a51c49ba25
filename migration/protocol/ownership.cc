// SPDX-License-Identifier: Apache-2.0
#include "migration/protocol/ownership.h"

namespace godwit::migration {

std::string_view to_string(Fate fate) {
    static constexpr std::string_view kNames[] = {"unknown", "pending", "claimed",
                                                  "fenced",  "running", "never"};
    return kNames[static_cast<std::size_t>(fate)];
}

std::string_view to_string(Custody custody) {
    static constexpr std::string_view kNames[] = {"here", "away", "in doubt", "gone"};
    return kNames[static_cast<std::size_t>(custody)];
}

} // namespace godwit::migration
