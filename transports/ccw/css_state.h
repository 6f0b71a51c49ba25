// SPDX-License-Identifier: Apache-2.0
//
// What the channel subsystem itself has to remember, beyond its subchannels. Plain data of the loop.
#pragma once

#include "migration/state/schema.h"
#include "transports/ccw/spec.h"

#include <array>
#include <cstdint>

namespace godwit::ccw {

struct CssState {
    std::uint8_t isc_mask = 0;
    std::uint8_t adapter_pending = 0; // subclasses, as in the mask
    // Subchannels whose interruption was not taken, by number: from the left, as elsewhere in this
    // architecture.
    std::array<std::uint8_t, kMaxSubchannels / 8> io_pending{};
    bool operator==(const CssState&) const = default;
};

} // namespace godwit::ccw

namespace godwit {

template <>
struct Schema<ccw::CssState> {
    static constexpr std::string_view name = "css";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"isc_mask", &ccw::CssState::isc_mask},
                                       Field{"adapter_pending", &ccw::CssState::adapter_pending},
                                       Field{"io_pending", &ccw::CssState::io_pending}};
    static Status validate(const ccw::CssState& state) {
        if ((state.adapter_pending & state.isc_mask) != 0)
            return corrupt("adapter_pending {:#x} in subclasses that are open ({:#x})", state.adapter_pending,
                           state.isc_mask);
        return {};
    }
};
static_assert(schema_is_complete<ccw::CssState>());

} // namespace godwit
