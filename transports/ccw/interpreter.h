// SPDX-License-Identifier: Apache-2.0
//
// Runs a channel program, a few CCWs at a time. Principles of Operation, chapter 15; what is checked and how
// each command can end is in docs/ccw-transport.md, section 6. Every step is bounded, whatever the program
// is. Loop thread.
#pragma once

#include "transports/ccw/channel_device.h"
#include "transports/ccw/subchannel_state.h"

namespace godwit::ccw {

struct ProgramStop {
    enum class Kind {
        Budget,    // not at its end: run on later
        Suspended, // at a CCW with the suspend flag, which is fetched again when it is resumed
        Ended,
    };
    Kind kind = Kind::Budget;
    bool interrupt = false; // a CCW with the PCI flag was used
    // Of a program that has ended.
    std::uint8_t device_status = 0;
    std::uint8_t subchannel_status = 0;
    std::uint8_t sense = 0; // byte 0, with unit check
    std::uint16_t count = 0;
};

class Interpreter {
  public:
    // All outlive the interpreter, which keeps nothing: where the program stands is in `state`.
    Interpreter(GuestMemory& memory, ChannelDevice& device, SubchannelState& state)
        : memory_(memory), device_(device), state_(state) {}

    // Uses up to `budget` CCWs.
    ProgramStop run(unsigned budget);

  private:
    // False when the program has stopped.
    bool step(ProgramStop& stop);
    bool command(const Ccw1& ccw, ProgramStop& stop);
    Reply perform(const Ccw1& ccw, DataStream& data);
    bool check(ProgramStop& stop) const;

    GuestMemory& memory_;
    ChannelDevice& device_;
    SubchannelState& state_;
};

} // namespace godwit::ccw
