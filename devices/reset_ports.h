// SPDX-License-Identifier: Apache-2.0
//
// The two ports by which a PC's software resets it when it does not use ACPI: the reset control register of
// the chipset, and the pulse command of the keyboard controller. Nothing else of either chip is there.
// Reference: Intel ICH10 data sheet section 13.7.5 (RST_CNT, port 0xcf9); IBM PC AT Technical Reference,
// keyboard controller (port 0x64, commands 0xf0 to 0xff).
//
// Has no state: a write either resets or does nothing. Threads: any.
#pragma once

#include "devices/bus.h"

#include <cstdint>
#include <functional>
#include <string_view>

namespace godwit {

class ResetPort final : public BusDevice {
  public:
    enum class Kind {
        ResetControl, // RST_CPU, bit 2, resets; how thoroughly, bit 1, makes no difference here
        Keyboard,     // command 0xfX with bit 0 of X clear pulses the processor's reset line
    };
    // `reset` is called on the vCPU's thread that wrote the port; it must return promptly.
    ResetPort(Kind kind, std::function<void()> reset) : kind_(kind), reset_(std::move(reset)) {}

    std::string_view name() const override;
    // Zero: no reset is being prepared; the keyboard controller would take a command.
    void read(std::uint64_t offset, std::span<std::byte> data) override;
    void write(std::uint64_t offset, std::span<const std::byte> data) override;

  private:
    const Kind kind_;
    const std::function<void()> reset_;
};

} // namespace godwit
