// SPDX-License-Identifier: Apache-2.0
//
// A device behind a subchannel, as the channel subsystem sees it. Loop thread.
#pragma once

#include "transports/ccw/data_stream.h"

#include <cstdint>
#include <optional>
#include <string>

namespace godwit::ccw {

// How a command ended on the device's side. Lengths are the interpreter's affair.
enum class Reply {
    Done,
    Short,   // too few bytes came; no effect
    Unknown, // no such command
    Reject,  // the command cannot be done like this; no effect
    Failed,  // the device could not do it
};

class ChannelDevice {
  public:
    virtual ~ChannelDevice() = default;

    virtual const std::string& name() const = 0; // for messages
    virtual Reply execute(std::uint8_t command, DataStream& data) = 0;
    // The subchannel was enabled or disabled.
    virtual void enabled_changed() = 0;
    // Whether something happened for which the subchannel's status has not been taken since.
    virtual bool wants_attention() const = 0;
    // The subclass of an adapter interruption that the guest may not have seen: its summary indicator is set.
    virtual std::optional<std::uint8_t> adapter_attention() const = 0;
    // Doorbells that came as register accesses.
    virtual std::uint16_t queue_count() const = 0;
    virtual void ring(std::uint16_t queue) = 0;
};

} // namespace godwit::ccw
