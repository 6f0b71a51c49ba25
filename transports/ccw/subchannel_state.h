// SPDX-License-Identifier: Apache-2.0
//
// All of a subchannel that migrates, as QEMU's s390 machines have it. Plain data of the loop.
#pragma once

#include "transports/ccw/records.h"

namespace godwit::ccw {

struct SubchannelState {
    std::uint8_t cssid = kVirtualCss;
    std::uint8_t ssid = 0;
    std::uint16_t schid = 0; // the number that the guest knows; the receiver takes it over
    std::uint16_t devno = 0;
    bool thinint_active = false; // virtio's adapter interruptions
    Schib curr_status;
    std::array<std::uint8_t, kSenseBytes> sense_data{};
    std::uint64_t channel_prog = 0; // the CCW at which the program stands
    Ccw1 last_cmd;                  // the one before it, when last_cmd_valid
    bool last_cmd_valid = false;
    SenseId id;
    bool ccw_fmt_1 = false;
    std::uint8_t ccw_no_data_cnt = 0; // commands in a row that moved no byte
    std::optional<OrbRecord> orb = OrbRecord{};
    bool operator==(const SubchannelState&) const = default;
};

} // namespace godwit::ccw

namespace godwit {

template <>
struct Schema<ccw::SubchannelState> {
    using S = ccw::SubchannelState;
    static constexpr std::string_view name = "s390_subch_dev";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{EqualField{"cssid", &S::cssid},
                                       EqualField{"ssid", &S::ssid},
                                       Field{"migrated_schid", &S::schid},
                                       EqualField{"devno", &S::devno},
                                       Field{"thinint_active", &S::thinint_active},
                                       Field{"curr_status", &S::curr_status},
                                       Field{"sense_data", &S::sense_data},
                                       Field{"channel_prog", &S::channel_prog},
                                       Field{"last_cmd", &S::last_cmd},
                                       Field{"last_cmd_valid", &S::last_cmd_valid},
                                       Field{"id", &S::id},
                                       Field{"ccw_fmt_1", &S::ccw_fmt_1},
                                       Field{"ccw_no_data_cnt", &S::ccw_no_data_cnt}};
    static constexpr std::tuple subsections{Subsection{&S::orb}};
    // What no subchannel of ours can be in. The error names the field.
    static Status validate(const S& state);
};
static_assert(schema_is_complete<ccw::SubchannelState>());

} // namespace godwit
