// SPDX-License-Identifier: Apache-2.0
//
// What the guest says: report lines go into a ring in RAM and from there through the UART, as fast as that
// takes them. So a line that is half sent when the guest moves is sent on where it goes on. Threads: the
// first CPU's.
#pragma once

#include "devices/serial/serial.h"
#include "guest-tests/plain/state.h"
#include "vmm/memory/guest_memory.h"

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace godwit::plain {

class Output {
  public:
    Output(GuestMemory& memory, ProgramsState& state, Serial& serial)
        : memory_(memory), state_(state), serial_(serial) {}

    // Switches the UART on, with interrupts for what comes in.
    void begin();
    // Sends what it takes.
    void send();
    // There is room for the longest thing that is said at a time.
    bool has_room() const;
    bool empty() const { return state_.output_size == 0; }

    void put(std::string_view text);
    // A line feed, unless the line is still empty.
    void start_line();

    // A byte that came in, or -1.
    int input();

  private:
    GuestMemory& memory_;
    ProgramsState& state_;
    Serial& serial_;
};

// A report line, guest-tests/guest/README.md: Report{output, "mem"}.add("errors", 0); it ends with the
// object.
class Report {
  public:
    Report(Output& output, std::string_view topic) : output_(output), line_(fmt::format("GT {}", topic)) {}
    ~Report();
    Report(const Report&) = delete;
    Report& operator=(const Report&) = delete;

    template <class T>
    Report& add(std::string_view key, const T& value) {
        line_ += fmt::format(" {}={}", key, value);
        return *this;
    }
    Report& add_hex(std::string_view key, std::uint64_t value) {
        line_ += fmt::format(" {}={:#x}", key, value);
        return *this;
    }

  private:
    Output& output_;
    std::string line_;
};

} // namespace godwit::plain
