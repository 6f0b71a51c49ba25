// SPDX-License-Identifier: Apache-2.0
#pragma once
// The channel subsystem: operations, subchannels, single channel commands, interruptions.
// Reference: docs/ccw-transport.md.  One owner: the first CPU.
#include "base/types.h"
#include "drivers/ccw_spec.h"
#include "machine/interrupts.h"

namespace guest::css {

constexpr u8 status_isc = 3, adapter_isc = 5;

bool present(); // by ACPI, else by looking at the usual place

// Does one operation; the block's outcome.
u32 operate(Function function, u32 subchannel, const void* operand, u64 operand2 = 0);
u32 operate(Function function, u32 subchannel, u64 operand, u64 operand2 = 0);
u64 last_result(); // of a notify operation
u64 register_address(u64 offset);
bool claim(u32 number); // false: somebody uses that subchannel; enabling would take its revision away
void release(u32 number);

// Somebody whose subchannel had status: his indicators may be set.
class StatusClient {
  public:
    virtual void status_taken() = 0;
    virtual void adapter_interrupted() = 0;

  protected:
    constexpr StatusClient() = default;
    ~StatusClient() = default;
};

enum class Outcome { Done, Rejected, Failed }; // Rejected: unit check

class Subchannel {
  public:
    constexpr Subchannel() = default;
    bool find(u32 number); // false: there are no more
    bool enable(bool on, u8 isc = status_isc);

    u32 number() const { return number_; }
    u32 id() const { return subchannel_id + number_; }
    u16 device_number() const { return device_number_; }
    u16 control_unit_model(); // of an enabled one: the virtio device id, or 0

    // A program of one command; waits for its end.
    Outcome run(Command command, const void* data, u16 count);
    bool take_status(); // true: there was some
    void tell(StatusClient& client) { client_ = &client; }

  private:
    bool start(Orb& orb);

    u32 number_ = 0;
    u16 device_number_ = 0;
    Irb irb_{};
    StatusClient* client_ = nullptr;
};

// A client hears of what is taken by TPI, and of every adapter interruption.
bool watch(Subchannel& subchannel, StatusClient& client);
void open_subclasses(); // interruptions come from now on

} // namespace guest::css
