// SPDX-License-Identifier: Apache-2.0
#include "programs/channel.h"

#include "base/options.h"
#include "machine/clock.h"
#include "machine/io.h"

#include <algorithm>
#include <array>

namespace guest {

using namespace css;

namespace {

constexpr u8 isc = 6; // the drivers leave it closed
constexpr u8 unknown_command = 0x77, transfer_in_channel = 0x08;
constexpr u16 identity_size = 7;

struct Area {
    std::array<Ccw, 4> program;
    Orb orb;
    u8 first[8], second[8];
    InterruptionCode code;
};
constinit Area area alignas(64){};

u32 address(const void* memory) {
    return static_cast<u32>(reinterpret_cast<u64>(memory));
}

Ccw sense_into(u8* memory, u8 flags) {
    return {SenseIdentity, flags, identity_size, address(memory)};
}

bool is_identity(const u8* bytes) {
    return bytes[0] == 0xff && bytes[1] == virtio_control_unit >> 8 &&
           bytes[2] == (virtio_control_unit & 0xff);
}

} // namespace

std::string_view Channel::text(u32 phase) {
    constexpr std::array<std::string_view, Phases> names{"suspended", "quiet",  "running",
                                                         "pending",   "halted", "checked"};
    return names[phase];
}

bool Channel::start() {
    u32 number = 0;
    if (present())
        while (subchannel_.find(number) && !claim(number))
            ++number;
    if (!present() || !subchannel_.find(number) || !subchannel_.enable(true, isc) ||
        subchannel_.control_unit_model() == 0) {
        Failure("channel", "no_usable_device");
        return false;
    }
    hold_ = options.number("channel.hold", 20'000) * microsecond;
    for (u32 phase = 0; phase < Phases; ++phase)
        if (options.text("channel.phase", "all") == text(phase)) {
            phase_ = phase;
            only_ = true;
        }
    Report("channel").add("subchannel", number).add("phase", only_ ? text(phase_) : "all");
    return true;
}

u64 Channel::step(u64 now) {
    if (over_)
        return now + second;
    if (!held_) {
        held_ = true;
        due_ = now + hold_;
        over_ = !begin();
        return due_;
    }
    if (now < due_ && !finishing_)
        return due_;
    held_ = false;
    over_ = !check() || finishing_;
    ++rounds_;
    if (!only_)
        phase_ = (phase_ + 1) % Phases;
    return now;
}

void Channel::print_status() const {
    Report("channel").add("rounds", rounds_).add("phase", text(phase_)).add("errors", errors_);
}

// ---- pieces

bool Channel::expect(bool condition, std::string_view what, u64 detail) {
    if (!condition) {
        ++errors_;
        Failure("channel", what)
            .add("phase", text(phase_))
            .add_hex("detail", detail)
            .add_hex("control", irb_.scsw.control)
            .add_hex("status", u64{irb_.scsw.device_status} << 8 | irb_.scsw.subchannel_status);
    }
    return condition;
}

u32 Channel::operate(Function function, const void* operand) {
    return css::operate(function, subchannel_.id(), operand);
}

u32 Channel::test() {
    return operate(TestSubchannel, &irb_);
}

bool Channel::start_program(u16 orb_flags) {
    memset(area.first, 0, sizeof area.first);
    memset(area.second, 0, sizeof area.second);
    area.orb = {};
    area.orb.parameter = 0xc0de0000 + phase_;
    area.orb.flags = static_cast<u16>(orb_format1 | orb_flags);
    area.orb.path_mask = 0x80;
    area.orb.program = address(area.program.data());
    u32 outcome = operate(StartSubchannel, &area.orb);
    return expect(outcome == 0, "start", outcome);
}

bool Channel::wait_for_primary() {
    constexpr u64 patience = 20 * second;
    for (u64 give_up = clock.now() + patience; clock.now() < give_up;)
        if (test() == 0 && (irb_.scsw.control & scsw_primary) != 0)
            return true;
    return expect(false, "no_end");
}

bool Channel::ended_well(u32 commands) {
    const Scsw& scsw = irb_.scsw;
    return expect((scsw.control & scsw_start) != 0, "function") &&
           expect(scsw.device_status == (channel_end | device_end) && scsw.subchannel_status == 0,
                  "bad_end") &&
           expect(scsw.ccw == address(&area.program[commands]), "ccw_address", scsw.ccw) &&
           expect(scsw.residual == 0, "residual", scsw.residual) && expect(test() == 1, "status_twice");
}

// ---- phases

bool Channel::begin() {
    switch (phase_) {
    case Suspended:
    case Quiet:
        area.program = {Ccw{NoOperation, ccw_chain, 0, 0}, sense_into(area.first, ccw_chain | ccw_suspend),
                        sense_into(area.second, 0)};
        return start_program(phase_ == Quiet ? orb_suspend | orb_quiet : orb_suspend);
    case Running:
    case Halted: {
        area.program = {sense_into(area.first, ccw_chain),
                        Ccw{transfer_in_channel, 0, 0, address(area.program.data())},
                        sense_into(area.second, 0)};
        if (!start_program(0))
            return false;
        u32 outcome = phase_ == Halted ? operate(HaltSubchannel) : 0;
        return expect(outcome == 0, "halt", outcome);
    }
    case Checked:
        area.program = {Ccw{unknown_command, 0, 0, 0}};
        return start_program(0);
    default:
        area.program = {sense_into(area.first, 0)};
        return start_program(0);
    }
}

bool Channel::check() {
    switch (phase_) {
    case Suspended:
    case Quiet:
        return check_suspended();
    case Running:
        return check_running();
    case Halted:
        return check_halted();
    case Checked:
        return check_checked();
    default:
        return check_pending();
    }
}

// Nothing behind the suspension has been done; the flag goes, and the rest is.
bool Channel::check_suspended() {
    u32 outcome = test();
    bool told = phase_ == Suspended;
    if (!expect(outcome == (told ? 0 : 1), "test_suspended", outcome) ||
        !expect((irb_.scsw.control & scsw_suspended) != 0, "not_suspended") ||
        !expect(((irb_.scsw.control & scsw_intermediate) != 0) == told, "intermediate_status") ||
        !expect(area.first[0] == 0, "went_on_suspended"))
        return false;
    outcome = operate(StartSubchannel, &area.orb);
    if (!expect(outcome == 2, "start_when_busy", outcome))
        return false;
    area.program[1].flags = ccw_chain;
    outcome = operate(ResumeSubchannel);
    return expect(outcome == 0, "resume", outcome) && wait_for_primary() && ended_well(3) &&
           expect(is_identity(area.first) && is_identity(area.second), "data");
}

// It still runs, and leaves its loop when the transfer points elsewhere.
bool Channel::check_running() {
    constexpr u64 patience = 20 * second;
    u32 outcome = test();
    if (!expect(outcome == 1, "status_while_running", outcome))
        return false;
    auto* fresh = reinterpret_cast<volatile u8*>(area.first);
    fresh[0] = 0;
    for (u64 give_up = clock.now() + patience; fresh[0] == 0 && clock.now() < give_up;)
        compiler_barrier();
    if (!expect(fresh[0] == 0xff, "stands_still") || !expect(area.second[0] == 0, "left_the_loop"))
        return false;
    area.program[1].data = address(&area.program[2]);
    return wait_for_primary() && ended_well(3) && expect(is_identity(area.second), "data");
}

// The interruption waits behind a closed subclass.
bool Channel::check_pending() {
    constexpr u32 mask = 0x80u >> isc;
    u64 mask_register = register_address(IscMask);
    u32 outcome = operate(StartSubchannel, &area.orb), others = read_register<u32>(mask_register);
    u32 pending = read_register<u32>(register_address(IoPending));
    if (!expect(outcome == 1, "start_on_status", outcome) || !expect((others & mask) == 0, "mask", others) ||
        !expect((pending & mask) != 0, "not_pending", pending))
        return false;
    write_register<u32>(mask_register, mask);
    outcome = css::operate(TestPendingInterruption, 0, &area.code);
    write_register<u32>(mask_register, others);
    if (!expect(outcome == 1, "interruption", outcome) ||
        !expect(area.code.subchannel == subchannel_.id(), "interruption_code", area.code.subchannel) ||
        !expect(area.code.parameter == area.orb.parameter, "parameter", area.code.parameter) ||
        !expect(area.code.word == u32{isc} << 27, "subclass", area.code.word))
        return false;
    outcome = test();
    return expect(outcome == 0, "test", outcome) && ended_well(1) && expect(is_identity(area.first), "data");
}

bool Channel::check_halted() {
    constexpr u16 functions = 0x7000;
    u32 outcome = test();
    if (!expect(outcome == 0, "test", outcome) ||
        !expect((irb_.scsw.control & functions) == scsw_halt && (irb_.scsw.control & scsw_primary) != 0,
                "halt_status"))
        return false;
    outcome = operate(ClearSubchannel);
    if (!expect(outcome == 0, "clear", outcome))
        return false;
    outcome = test();
    return expect(outcome == 0, "test_clear", outcome) &&
           expect(irb_.scsw.control == (scsw_clear | scsw_pending), "clear_status");
}

// Concurrent sense comes with the status.
bool Channel::check_checked() {
    constexpr u8 command_reject = 0x80;
    u32 outcome = test();
    return expect(outcome == 0, "test", outcome) &&
           expect(irb_.scsw.device_status == unit_check, "unit_check") &&
           expect((irb_.scsw.flags & scsw_sensed) == scsw_sensed, "no_sense", irb_.scsw.flags) &&
           expect(irb_.ecw[0] == command_reject, "sense", irb_.ecw[0]);
}

} // namespace guest
