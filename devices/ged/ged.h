// SPDX-License-Identifier: Apache-2.0
//
// ACPI generic event device: the power button, power-off and reset of a hardware-reduced machine.
// Reference: ACPI 6.5 sections 4.8.3.7 (sleep control and status), 4.8.3.6 (reset), 5.6.9 (ACPI0013); the
// event selector is QEMU's (hw/acpi/generic_event_device.c). Migrates: GedState.
//
// Threads: any; what is pending is one atomic word.
#pragma once

#include "devices/bus.h"
#include "devices/irq.h"
#include "migration/state/section.h"

#include <atomic>
#include <functional>

namespace godwit {

// Section `acpi-ged`. Memory hotplug is not on our board, but QEMU always sends its selector.
struct GedMemoryHotplug {
    std::uint32_t selector = 0;
    bool operator==(const GedMemoryHotplug&) const = default;
};
struct GedMemoryHotplugRecord {
    GedMemoryHotplug memhp_state;
    bool operator==(const GedMemoryHotplugRecord&) const = default;
};
struct GedSelector {
    std::uint32_t sel = 0;
    bool operator==(const GedSelector&) const = default;
};
struct GedState {
    GedSelector ged_state;
    std::optional<GedMemoryHotplugRecord> memhp;
    bool operator==(const GedState&) const = default;
};

template <>
struct Schema<GedMemoryHotplug> {
    static constexpr std::string_view name = "memory hotplug state";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"selector", &GedMemoryHotplug::selector}};
};
template <>
struct Schema<GedMemoryHotplugRecord> {
    static constexpr std::string_view name = "acpi-ged/memhp";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"memhp_state", &GedMemoryHotplugRecord::memhp_state}};
};
template <>
struct Schema<GedSelector> {
    static constexpr std::string_view name = "acpi-ged-state";
    static constexpr std::uint32_t version = 1;
    static constexpr std::tuple fields{Field{"sel", &GedSelector::sel}};
};
template <>
struct Schema<GedState> {
    static constexpr std::string_view name = "acpi-ged";
    static constexpr std::uint32_t version = 1;
    static constexpr std::uint32_t minimum_version = 1;
    static constexpr std::tuple fields{Field{"ged_state", &GedState::ged_state}};
    static constexpr std::tuple subsections{Subsection{&GedState::memhp}};
};
static_assert(schema_is_complete<GedMemoryHotplug>());
static_assert(schema_is_complete<GedMemoryHotplugRecord>());
static_assert(schema_is_complete<GedSelector>());
static_assert(schema_is_complete<GedState>());

class Ged {
  public:
    static constexpr std::uint64_t kEventsLength = 4;
    static constexpr std::uint64_t kSleepLength = 3;
    static constexpr std::uint32_t kPowerButton = 0x2; // bit of the event selector

    // Called on the vCPU's thread that wrote the register; must return promptly, so tell somebody else.
    struct Actions {
        std::function<void()> power_off;
        std::function<void()> reset;
    };
    Ged(IrqLine& irq, Actions actions)
        : irq_(irq), actions_(std::move(actions)), events_(*this), sleep_(*this) {}

    // The two register ranges: the event selector; sleep control, sleep status and reset.
    BusDevice& events() { return events_; }
    BusDevice& sleep() { return sleep_; }

    // Any thread. Not while the machine is paused for good: the event would stay behind.
    void press_power_button();
    // Back to the state after power-up.
    void reset() { apply({}); }

    // The machine is paused.
    GedState capture() const;
    void apply(const GedState& state);

  private:
    class Events final : public BusDevice {
      public:
        explicit Events(Ged& ged) : ged_(ged) {}
        std::string_view name() const override { return "ged-events"; }
        void read(std::uint64_t offset, std::span<std::byte> data) override;
        void write(std::uint64_t, std::span<const std::byte>) override {}

      private:
        Ged& ged_;
    };
    class Sleep final : public BusDevice {
      public:
        explicit Sleep(Ged& ged) : ged_(ged) {}
        std::string_view name() const override { return "ged-sleep"; }
        void read(std::uint64_t offset, std::span<std::byte> data) override;
        void write(std::uint64_t offset, std::span<const std::byte> data) override;

      private:
        Ged& ged_;
    };

    IrqLine& irq_;
    Actions actions_;
    Events events_;
    Sleep sleep_;
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
