// SPDX-License-Identifier: Apache-2.0
//
// Carries register accesses from a vCPU's thread to the loop, so that a device has one owning thread and no
// locks. Set-up registers only: the fast paths are doorbells and irqfds.
#pragma once

#include "devices/bus.h"
#include "vmm/loop/loop.h"

namespace godwit {

class LoopBusDevice final : public BusDevice {
  public:
    LoopBusDevice(Loop& loop, BusDevice& inner) : loop_(loop), inner_(inner) {}
    std::string_view name() const override { return inner_.name(); }
    void read(std::uint64_t offset, std::span<std::byte> data) override {
        loop_.call([&] { inner_.read(offset, data); });
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        loop_.call([&] { inner_.write(offset, data); });
    }

  private:
    Loop& loop_;
    BusDevice& inner_;
};

} // namespace godwit
