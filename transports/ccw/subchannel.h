// SPDX-License-Identifier: Apache-2.0
//
// A subchannel: the functions that a guest can ask of it, its status, and the interruption that goes with it.
// Principles of Operation, chapters 14 (the functions), 15 (start) and 16 (status). Migrates:
// SubchannelState, and whether its interruption pends (in the channel subsystem's section). Loop thread.
//
// A program runs within the function that starts it. A long one goes on in later turns of the loop; it can be
// saved between any two of its commands.
#pragma once

#include "transports/ccw/interpreter.h"

#include <span>
#include <vector>

namespace godwit::ccw {

class Subchannel;

// What a subchannel asks of the channel subsystem.
class SubchannelHost {
  public:
    virtual ~SubchannelHost() = default;
    // An interruption has become pending, or pends anew.
    virtual void interruption(Subchannel& subchannel) = 0;
    // Call run() in a later turn.
    virtual void run_later(Subchannel& subchannel) = 0;
    // Programs do not run, as the machine is paused.
    virtual bool paused() const = 0;
};

class Subchannel {
  public:
    // All outlive the subchannel. `id`: what sense id answers.
    Subchannel(GuestMemory& memory, SubchannelHost& host, ChannelDevice& device, const SenseId& id,
               std::uint16_t devno);

    std::uint16_t number() const { return state_.schid; }
    void set_number(std::uint16_t number) { state_.schid = number; }
    static bool status_pending(const SubchannelState& state) {
        return (state.curr_status.scsw.ctrl & kStatusPending) != 0;
    }
    std::uint16_t devno() const { return state_.devno; }
    ChannelDevice& device() const { return device_; }
    bool enabled() const { return (pmcw().flags & kPmcwEnabled) != 0; }
    std::uint8_t isc() const { return static_cast<std::uint8_t>((pmcw().flags & kPmcwIsc) >> kPmcwIscShift); }
    std::uint32_t interruption_parameter() const { return pmcw().intparm; }

    // ---- the guest's functions. The outcome is a condition code or an exception.

    Outcome start(const Orb& orb);
    Outcome halt();
    Outcome clear();
    Outcome resume();
    Outcome store(Schib& schib) const;
    Outcome modify(const Schib& schib);
    // `irb` holds kIrbBytes; filled for the codes 0 and 1.
    Outcome test(std::vector<std::byte>& irb);

    // ---- for the device: makes alert status pending. While a function is in progress its status stands for
    // that, and ChannelDevice::wants_attention() is asked when it has been taken.
    void alert();

    // The next part of a long program, or of one that was loaded.
    void run();

    bool interruption_pending() const { return interruption_pending_; }
    // Taken by the guest, or loaded.
    void set_interruption_pending(bool pending) { interruption_pending_ = pending; }

    // As when the machine is reset.
    void reset();

    // Virtio's adapter interruptions are in use.
    bool thinint_active() const { return state_.thinint_active; }
    void set_thinint_active(bool active) { state_.thinint_active = active; }

    // ---- state

    const SubchannelState& state() const { return state_; }
    // Keeps a validated state as scratch, or makes it live. The machine is paused.
    void load(const SubchannelState& state) { loaded_ = state; }
    void commit_load();
    void discard_load() { loaded_.reset(); }
    // As it will be after commit_load().
    const SubchannelState& loaded() const { return loaded_.has_value() ? *loaded_ : state_; }

  private:
    Pmcw& pmcw() { return state_.curr_status.pmcw; }
    const Pmcw& pmcw() const { return state_.curr_status.pmcw; }
    Scsw& scsw() { return state_.curr_status.scsw; }
    const Scsw& scsw() const { return state_.curr_status.scsw; }
    bool status_pending() const { return status_pending(state_); }
    std::uint16_t functions() const { return scsw().ctrl & kFunctions; }

    void stopped(const ProgramStop& stop);
    void ended(const ProgramStop& stop);
    void make_status_pending(std::uint16_t status);
    std::vector<std::byte> interruption_response() const;

    GuestMemory& memory_;
    SubchannelHost& host_;
    ChannelDevice& device_;
    SubchannelState state_;
    bool interruption_pending_ = false;
    std::optional<SubchannelState> loaded_;
};

} // namespace godwit::ccw
