// SPDX-License-Identifier: Apache-2.0
//
// ACPI generic event device: the power button, power-off and reset of a hardware-reduced machine, and the
// news that its generation has changed. Reference: ACPI 6.5 sections 4.8.3.7 (sleep control and
// status), 4.8.3.6 (reset), 5.6.9 (ACPI0013); the event selector is QEMU's (hw/acpi/generic_event_device.c).
// Migrates: GedState.
//
// Threads: any; what is pending is one atomic word.
#pragma once

#include "devices/bus.h"
#include "devices/ged_state.h"
#include "devices/irq.h"
#include "migration/state/section.h"

#include <atomic>

namespace godwit {

class Ged {
  public:
    // Bits of the event selector; the second is ours.
    static constexpr std::uint32_t kPowerButton = 0x2;
    static constexpr std::uint32_t kGenerationChanged = 0x4000'0000;

    // Called on the vCPU's thread that wrote the register; must return promptly, so tell somebody else.
    class Events {
      public:
        virtual void power_off() = 0;
        virtual void reset_requested() = 0;

      protected:
        ~Events() = default;
    };
    // Both must outlive this.
    Ged(IrqLine& irq, Events& events) : irq_(irq), events_(events), selector_(*this), sleep_(*this) {}

    // The two ranges: event selector (4 bytes); sleep control, sleep status and reset (3 bytes).
    BusDevice& event_registers() { return selector_; }
    BusDevice& sleep_registers() { return sleep_; }

    // Any thread. Not while the machine is paused for good: the event would stay behind.
    void press_power_button() { raise(kPowerButton); }
    void generation_changed() { raise(kGenerationChanged); }
    // Back to the state after power-up.
    void reset() { apply({}); }

    // The machine is paused.
    GedState capture() const;
    void apply(const GedState& state);

  private:
    class SelectorRegister final : public BusDevice {
      public:
        explicit SelectorRegister(Ged& ged) : ged_(ged) {}
        std::string_view name() const override { return "ged-events"; }
        void read(std::uint64_t offset, std::span<std::byte> data) override;
        void write(std::uint64_t, std::span<const std::byte>) override {}

      private:
        Ged& ged_;
    };
    class SleepRegisters final : public BusDevice {
      public:
        explicit SleepRegisters(Ged& ged) : ged_(ged) {}
        std::string_view name() const override { return "ged-sleep"; }
        void read(std::uint64_t offset, std::span<std::byte> data) override;
        void write(std::uint64_t offset, std::span<const std::byte> data) override;

      private:
        Ged& ged_;
    };

    void raise(std::uint32_t event);

    IrqLine& irq_;
    Events& events_;
    SelectorRegister selector_;
    SleepRegisters sleep_;
    std::atomic<std::uint32_t> pending_{0};
    std::atomic<std::uint32_t> memory_hotplug_selector_{0}; // carried along for QEMU
};

class GedSection final : public StructSection<GedState> {
  public:
    explicit GedSection(Ged& ged) : ged_(ged) {}

  protected:
    Result<GedState> capture() override { return ged_.capture(); }
    Status apply(const GedState& state) override {
        ged_.apply(state);
        return {};
    }

  private:
    Ged& ged_;
};

} // namespace godwit
