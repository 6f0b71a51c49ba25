// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/interpreter.h"

#include "transports/ccw/guest_form.h"

namespace godwit::ccw {

namespace {

constexpr std::uint8_t kNoDataLimit = 255;
constexpr std::size_t kSenseIdLeast = 7;

} // namespace

ProgramStop Interpreter::run(unsigned budget) {
    ProgramStop stop;
    if (!state_.ccw_fmt_1) {
        check(stop);
        return stop;
    }
    for (unsigned used = 0; used < budget && step(stop); ++used) {
    }
    return stop;
}

bool Interpreter::check(ProgramStop& stop) const {
    stop.kind = ProgramStop::Kind::Ended;
    stop.subchannel_status = kProgramCheck;
    return false;
}

bool Interpreter::step(ProgramStop& stop) {
    const auto fetched = fetch_ccw(memory_, state_.channel_prog);
    if (!fetched.has_value())
        return check(stop);
    const Ccw1& ccw = *fetched;
    if (is_transfer(ccw)) {
        if (!valid_transfer(ccw) || !state_.last_cmd_valid || is_transfer(state_.last_cmd))
            return check(stop);
        state_.last_cmd = ccw;
        state_.channel_prog = ccw.cda;
        return true;
    }
    if (!valid_data(ccw, false))
        return check(stop);
    if ((ccw.flags & kCcwSuspend) != 0) {
        if ((state_.orb->orb.ctrl0 & kOrbSuspend) == 0)
            return check(stop);
        stop.kind = ProgramStop::Kind::Suspended;
        return false;
    }
    if (state_.ccw_no_data_cnt == kNoDataLimit)
        return check(stop);
    return command(ccw, stop);
}

// What the three parties say, put together: the program (faults), the device (reply), and the lengths.
bool Interpreter::command(const Ccw1& ccw, ProgramStop& stop) {
    DataStream data{memory_, state_.channel_prog, ccw};
    const Reply reply = perform(ccw, data);

    stop.interrupt = stop.interrupt || (ccw.flags & kCcwInterrupt) != 0 || data.interrupt_wanted();
    state_.channel_prog = data.at();
    state_.last_cmd = data.ccw();
    state_.last_cmd_valid = true;
    if (data.moved() != 0)
        state_.ccw_no_data_cnt = 0;
    else
        ++state_.ccw_no_data_cnt;

    std::uint8_t device = kChannelEnd | kDeviceEnd;
    std::uint8_t subchannel = 0;
    if (data.faulted()) {
        subchannel = kProgramCheck;
    } else if (reply == Reply::Unknown) {
        device = kUnitCheck;
        stop.sense = kSenseCommandReject;
    } else {
        const std::uint8_t flags = data.ccw().flags;
        const bool suppressed = (flags & (kCcwSuppressLength | kCcwChainData)) == kCcwSuppressLength ||
                                (data.immediate() && (state_.orb->orb.ctrl1 & kOrb1SuppressImmediate) != 0);
        const bool wrong = data.starved() || data.cut_short() || data.left_over();
        if (wrong && !suppressed)
            subchannel = kIncorrectLength;
        if (reply == Reply::Failed)
            stop.sense = kSenseEquipmentCheck;
        else if (reply == Reply::Reject || (data.starved() && suppressed))
            stop.sense = kSenseCommandReject;
        if (stop.sense != 0)
            device |= kUnitCheck;
    }
    const bool good = subchannel == 0 && (device & kUnitCheck) == 0;
    if (good && (data.ccw().flags & kCcwChainCommand) != 0) {
        state_.channel_prog += kCcwSize;
        return true;
    }
    stop.kind = ProgramStop::Kind::Ended;
    stop.device_status = device;
    stop.subchannel_status = subchannel;
    stop.count = data.residual();
    return false;
}

Reply Interpreter::perform(const Ccw1& ccw, DataStream& data) {
    switch (ccw.cmd_code) {
    case kCommandNoOp:
        data.no_data();
        return Reply::Done;
    case kCommandSense:
        data.give(std::as_bytes(std::span{state_.sense_data}));
        if (!data.faulted())
            state_.sense_data = {};
        return Reply::Done;
    case kCommandSenseId:
        if (data.give(to_guest(state_.id)) >= kSenseIdLeast)
            data.enough();
        return Reply::Done;
    default:
        return device_.execute(ccw.cmd_code, data);
    }
}

} // namespace godwit::ccw
