// SPDX-License-Identifier: Apache-2.0
//
// Which side of a migration had the reason of its failure. Pure.
#pragma once

#include "vmm/base/result.h"

#include <string>
#include <string_view>

namespace godwit::control {

inline constexpr std::string_view kSource = "source";
inline constexpr std::string_view kDestination = "destination";

// The reason with its side in front: "destination: take over the guest: ...". What the peer said has the
// peer's name already (migration/protocol/session.cc); everything else is `here`'s own.
inline std::string reason_text(std::string_view here, const Error& error) {
    for (const std::string_view side : {kSource, kDestination})
        if (error.text.starts_with(side) &&
            std::string_view{error.text}.substr(side.size()).starts_with(": "))
            return error.text;
    return fmt::format("{}: {}", here, error.text);
}

} // namespace godwit::control
