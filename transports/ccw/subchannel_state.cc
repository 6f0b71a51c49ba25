// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/subchannel_state.h"

namespace godwit {

namespace {

using ccw::SubchannelState;

Status check_pmcw(const ccw::Pmcw& pmcw, std::uint16_t devno) {
    constexpr std::uint16_t kKnown = ccw::kPmcwModifiable | ccw::kPmcwValid;
    if ((pmcw.flags & ~kKnown) != 0 || (pmcw.flags & ccw::kPmcwValid) == 0)
        return corrupt("curr_status.pmcw.flags {:#x}", pmcw.flags);
    if (pmcw.devno != devno)
        return corrupt("curr_status.pmcw.devno is {:#x}, of device {:#x}", pmcw.devno, devno);
    if (pmcw.pim != ccw::kPath || pmcw.pam != ccw::kPath)
        return corrupt("curr_status.pmcw: paths {:#x}, {:#x} instead of {:#x}", pmcw.pim, pmcw.pam,
                       ccw::kPath);
    if ((pmcw.chars & ccw::kPmcwCharsInvalid) != 0)
        return corrupt("curr_status.pmcw.chars {:#x}", pmcw.chars);
    return {};
}

// The combinations of function, activity and status that subchannel.cc produces.
bool possible(std::uint16_t ctrl) {
    const std::uint16_t functions = ctrl & ccw::kFunctions;
    const std::uint16_t activities = ctrl & ccw::kActivities;
    const std::uint16_t status = ctrl & ccw::kStatusBits;
    constexpr std::uint16_t kIntermediateOnly = ccw::kIntermediate | ccw::kStatusPending;
    constexpr std::uint16_t kActive = ccw::kSubchannelActive | ccw::kDeviceActive;
    constexpr std::uint16_t kEnd = ccw::kPrimary | ccw::kSecondary | ccw::kStatusPending;
    if ((ctrl & ccw::kControlReserved) != 0)
        return false;
    switch (functions) {
    case 0:
        return activities == 0 && (status == 0 || status == (ccw::kAlert | ccw::kStatusPending));
    case ccw::kHaltFunction:
        return activities == 0 && (status & ccw::kStatusPending) != 0 && (status & ccw::kPrimary) != 0;
    case ccw::kClearFunction:
        return activities == 0 && status == ccw::kStatusPending;
    case ccw::kStartFunction:
        if (activities == 0)
            return (status & ~ccw::kAlert & ~ccw::kIntermediate) == kEnd;
        return (status == 0 || status == kIntermediateOnly) &&
               (activities == kActive || activities == ccw::kStartPending || activities == ccw::kSuspended ||
                activities == (ccw::kSuspended | ccw::kResumePending));
    default:
        return false;
    }
}

} // namespace

Status Schema<SubchannelState>::validate(const SubchannelState& state) {
    const ccw::Scsw& scsw = state.curr_status.scsw;
    if (state.schid >= ccw::kMaxSubchannels)
        return corrupt("migrated_schid is {}, below {} it must be", state.schid, ccw::kMaxSubchannels);
    TRY(check_pmcw(state.curr_status.pmcw, state.devno));
    if (!possible(scsw.ctrl))
        return corrupt("curr_status.scsw.ctrl {:#x} is no state of a subchannel", scsw.ctrl);
    if (scsw.ctrl != 0 && (state.curr_status.pmcw.flags & ccw::kPmcwEnabled) == 0)
        return corrupt("curr_status.scsw.ctrl {:#x} of a subchannel that is not enabled", scsw.ctrl);
    if (!state.orb.has_value())
        return corrupt("s390_subch_dev/orb is missing");
    return {};
}

} // namespace godwit
