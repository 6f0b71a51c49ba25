// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/subchannel.h"

#include "transports/ccw/guest_form.h"

#include <utility>

namespace godwit::ccw {

namespace {

constexpr unsigned kBudget = 256; // CCWs in a turn

// ESW word 0: the path that was used.
constexpr std::uint32_t kEswPath = 0x0080'0000;
// ESW word 1: concurrent sense, so many bytes of it.
constexpr std::uint32_t kEswSense = 0x0100'0000 | kSenseBytes << 8;
constexpr std::size_t kEswAt = 12;
constexpr std::size_t kEcwAt = 32;

constexpr std::uint16_t without(std::uint16_t value, std::uint16_t bits) {
    return static_cast<std::uint16_t>(value & ~bits);
}

} // namespace

Subchannel::Subchannel(GuestMemory& memory, SubchannelHost& host, ChannelDevice& device, const SenseId& id,
                       std::uint16_t devno)
    : memory_(memory), host_(host), device_(device) {
    state_.id = id;
    state_.devno = devno;
    reset();
}

void Subchannel::reset() {
    const SubchannelState old = std::exchange(state_, SubchannelState{});
    state_.schid = old.schid;
    state_.devno = old.devno;
    state_.id = old.id;
    interruption_pending_ = false;
    pmcw().flags = kPmcwValid;
    pmcw().devno = state_.devno;
    pmcw().lpm = kPath;
    pmcw().pim = kPath;
    pmcw().pam = kPath;
    pmcw().pom = 0xff;
}

void Subchannel::commit_load() {
    if (loaded_.has_value())
        state_ = *std::exchange(loaded_, std::nullopt);
}

// ---- functions

Outcome Subchannel::start(const Orb& orb) {
    if ((orb.ctrl0 & kOrbInvalid) != 0 || (orb.ctrl1 & kOrb1Invalid) != 0 || (orb.cpa & kAddressBad) != 0)
        return Outcome::OperandException;
    if (!enabled() || (orb.lpm & pmcw().lpm & pmcw().pam) == 0)
        return Outcome::NotOperational;
    if (status_pending())
        return Outcome::Code1;
    if (functions() != 0)
        return Outcome::Code2;
    pmcw().intparm = orb.intparm;
    pmcw().lpum = kPath;
    scsw() = Scsw{};
    scsw().flags = orb.ctrl0 & kOrbCopied;
    scsw().ctrl = kStartFunction | kStartPending;
    state_.orb = OrbRecord{orb};
    state_.channel_prog = orb.cpa;
    state_.last_cmd = Ccw1{};
    state_.last_cmd_valid = false;
    state_.ccw_fmt_1 = (orb.ctrl0 & kOrbFormat1) != 0;
    state_.ccw_no_data_cnt = 0;
    run();
    return Outcome::Done;
}

Outcome Subchannel::halt() {
    if (!enabled())
        return Outcome::NotOperational;
    // Intermediate status alone does not stand in the way: the program goes on, and can be halted.
    if (status_pending() && (scsw().ctrl & kStatusBits) != (kIntermediate | kStatusPending))
        return Outcome::Code1;
    if ((functions() & (kHaltFunction | kClearFunction)) != 0)
        return Outcome::Code2;
    scsw().dstat = 0;
    scsw().cstat = 0;
    scsw().cpa = static_cast<std::uint32_t>(state_.channel_prog);
    scsw().ctrl = kHaltFunction;
    make_status_pending(kPrimary);
    return Outcome::Done;
}

Outcome Subchannel::clear() {
    if (!enabled())
        return Outcome::NotOperational;
    scsw() = Scsw{};
    scsw().ctrl = kClearFunction;
    make_status_pending(0);
    return Outcome::Done;
}

Outcome Subchannel::resume() {
    if (!enabled())
        return Outcome::NotOperational;
    if (status_pending())
        return Outcome::Code1;
    if (functions() != kStartFunction || (scsw().ctrl & (kSuspended | kResumePending)) != kSuspended)
        return Outcome::Code2;
    scsw().ctrl |= kResumePending;
    run();
    return Outcome::Done;
}

Outcome Subchannel::store(Schib& schib) const {
    schib = state_.curr_status;
    return Outcome::Done;
}

Outcome Subchannel::modify(const Schib& schib) {
    const Pmcw& wanted = schib.pmcw;
    if ((wanted.flags & kPmcwInvalid) != 0 || (wanted.chars & kPmcwCharsInvalid) != 0)
        return Outcome::OperandException;
    if (status_pending())
        return Outcome::Code1;
    if (functions() != 0)
        return Outcome::Code2;
    const bool was_enabled = enabled();
    pmcw().intparm = wanted.intparm;
    pmcw().flags =
        static_cast<std::uint16_t>(without(pmcw().flags, kPmcwModifiable) | (wanted.flags & kPmcwModifiable));
    pmcw().lpm = wanted.lpm;
    pmcw().mbi = wanted.mbi;
    pmcw().pom = wanted.pom;
    pmcw().chars = wanted.chars & (kPmcwConcurrentSense | kPmcwMeasurementFormat);
    if (enabled() != was_enabled)
        device_.enabled_changed();
    return Outcome::Done;
}

Outcome Subchannel::test(std::vector<std::byte>& irb) {
    if (!enabled())
        return Outcome::NotOperational;
    irb = interruption_response();
    if (!status_pending())
        return Outcome::Code1;
    interruption_pending_ = false;
    if ((scsw().ctrl & kStatusBits) == (kIntermediate | kStatusPending)) {
        scsw().ctrl = without(scsw().ctrl, kStatusBits);
        scsw().cstat &= static_cast<std::uint8_t>(~kProgramInterruption);
        return Outcome::Done;
    }
    const bool of_program = (functions() & kStartFunction) != 0;
    if ((pmcw().chars & kPmcwConcurrentSense) != 0 && (scsw().dstat & kUnitCheck) != 0)
        state_.sense_data = {};
    scsw() = Scsw{};
    if (of_program && device_.wants_attention())
        alert();
    return Outcome::Done;
}

std::vector<std::byte> Subchannel::interruption_response() const {
    std::vector<std::byte> irb(kIrbBytes);
    const std::span all{irb};
    Scsw shown = scsw();
    store_be(all.subspan(kEswAt), kEswPath);
    if (status_pending() && (shown.dstat & kUnitCheck) != 0 && (pmcw().chars & kPmcwConcurrentSense) != 0) {
        shown.flags |= kScswEswFormat | kScswExtendedControl;
        store_be(all.subspan(kEswAt + 4), kEswSense);
        std::ranges::copy(std::as_bytes(std::span{state_.sense_data}), irb.begin() + kEcwAt);
    }
    std::ranges::copy(to_guest(shown), irb.begin());
    return irb;
}

// ---- programs

void Subchannel::run() {
    const bool started = (functions() & kStartFunction) != 0;
    const bool waits = (scsw().ctrl & kSuspended) != 0 && (scsw().ctrl & kResumePending) == 0;
    const bool ended_already =
        status_pending() && (scsw().ctrl & kStatusBits) != (kIntermediate | kStatusPending);
    if (!started || waits || ended_already || host_.paused())
        return;
    scsw().ctrl = without(scsw().ctrl, kStartPending | kResumePending | kSuspended);
    scsw().ctrl |= kSubchannelActive | kDeviceActive;
    stopped(Interpreter{memory_, device_, state_}.run(kBudget));
}

void Subchannel::stopped(const ProgramStop& stop) {
    if (stop.interrupt)
        scsw().cstat |= kProgramInterruption;
    if (stop.kind == ProgramStop::Kind::Ended)
        return ended(stop);
    scsw().cpa = static_cast<std::uint32_t>(state_.channel_prog);
    bool tell = stop.interrupt;
    if (stop.kind == ProgramStop::Kind::Suspended) {
        scsw().cpa += kCcwSize;
        scsw().ctrl = static_cast<std::uint16_t>(without(scsw().ctrl, kActivities) | kSuspended);
        tell = tell || (state_.orb->orb.ctrl0 & kOrbSuppressSuspended) == 0;
    } else {
        host_.run_later(*this);
    }
    if (tell)
        make_status_pending(kIntermediate);
}

void Subchannel::ended(const ProgramStop& stop) {
    if ((stop.device_status & kUnitCheck) != 0) {
        state_.sense_data = {};
        state_.sense_data[0] = stop.sense;
    }
    scsw().dstat = stop.device_status;
    scsw().cstat |= stop.subchannel_status;
    scsw().cpa = static_cast<std::uint32_t>(state_.channel_prog + kCcwSize);
    scsw().count = stop.count;
    scsw().ctrl = kStartFunction;
    const bool good = stop.subchannel_status == 0 && (stop.device_status & kUnitCheck) == 0;
    state_.last_cmd_valid = false;
    make_status_pending(good ? kPrimary | kSecondary : kPrimary | kSecondary | kAlert);
}

// ---- status

void Subchannel::make_status_pending(std::uint16_t status) {
    scsw().ctrl |= status | kStatusPending;
    interruption_pending_ = true;
    host_.interruption(*this);
}

void Subchannel::alert() {
    if (!enabled() || status_pending() || functions() != 0)
        return;
    scsw() = Scsw{};
    make_status_pending(kAlert);
}

} // namespace godwit::ccw
