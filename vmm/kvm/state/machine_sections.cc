// SPDX-License-Identifier: Apache-2.0
//
// Sections of the VM as a whole: the clocks and the IOAPIC.
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/state/clock_state.h"
#include "vmm/kvm/state/ioapic_state.h"
#include "vmm/kvm/state/sections.h"

#include <algorithm>

namespace godwit::kvm {

namespace {

class TimerSection final : public StructSection<TimerState> {
  public:
    explicit TimerSection(VirtualClock& clock) : clock_(clock) {}

  protected:
    Result<TimerState> capture() override {
        // QEMU counts ticks of the TSC beside the clock; under KVM nobody asks for them, so they are
        // nanoseconds too.
        const std::int64_t now = clock_.now_ns();
        return TimerState{now, now};
    }
    Status apply(const TimerState& state) override {
        clock_.set_ns(state.cpu_clock_offset);
        return {};
    }

  private:
    VirtualClock& clock_;
};

class KvmClockSection final : public StructSection<KvmClockState> {
  public:
    explicit KvmClockSection(KvmClock& clock) : clock_(clock) {}

  protected:
    Result<KvmClockState> capture() override {
        TRY(clock_.freeze());
        // Kvm::open wants a KVM whose clock is computed as guests compute theirs, so it is never behind them.
        return KvmClockState{clock_.frozen().value_or(0), ClockReliability{true}};
    }
    Status check(const KvmClockState& state) override {
        // Linux before 4.9: the guest may have seen a later time than this.
        if (!state.reliability.has_value() || !state.reliability->clock_is_reliable)
            return error(ErrorCode::Incompatible,
                         "the other host's clock is not reliable: the guest's would go back");
        return {};
    }
    Status apply(const KvmClockState& state) override {
        clock_.set_frozen(state.clock);
        return {};
    }

  private:
    KvmClock& clock_;
};

class IoApicSection final : public StructSection<IoApicState> {
  public:
    explicit IoApicSection(Vm& vm) : vm_(vm) {}

  protected:
    Result<IoApicState> capture() override {
        const kvm_irqchip chip = TRY(read());
        const kvm_ioapic_state& ioapic = chip.chip.ioapic;
        IoApicState state;
        state.id = static_cast<std::uint8_t>(ioapic.id);
        state.ioregsel = static_cast<std::uint8_t>(ioapic.ioregsel);
        state.irr = ioapic.irr;
        for (std::size_t pin = 0; pin < kIoApicPins; ++pin)
            state.ioredtbl[pin] = ioapic.redirtbl[pin].bits;
        return state;
    }
    Status apply(const IoApicState& state) override {
        kvm_irqchip chip = TRY(read());
        kvm_ioapic_state& ioapic = chip.chip.ioapic;
        ioapic.id = state.id;
        ioapic.ioregsel = state.ioregsel;
        ioapic.irr = state.irr;
        for (std::size_t pin = 0; pin < kIoApicPins; ++pin)
            ioapic.redirtbl[pin].bits = state.ioredtbl[pin];
        TRY(KVM_CONTROL(vm_.fd(), KVM_SET_IRQCHIP, &chip));
        return {};
    }

  private:
    Result<kvm_irqchip> read() const {
        kvm_irqchip chip{};
        chip.chip_id = KVM_IRQCHIP_IOAPIC;
        TRY(KVM_CONTROL(vm_.fd(), KVM_GET_IRQCHIP, &chip));
        return chip;
    }
    Vm& vm_;
};

static_assert(KVM_IOAPIC_NUM_PINS == kIoApicPins);

} // namespace

std::unique_ptr<StateSection> make_timer_section(VirtualClock& clock) {
    return std::make_unique<TimerSection>(clock);
}
std::unique_ptr<StateSection> make_kvmclock_section(KvmClock& clock) {
    return std::make_unique<KvmClockSection>(clock);
}
std::unique_ptr<StateSection> make_ioapic_section(Vm& vm) {
    return std::make_unique<IoApicSection>(vm);
}

} // namespace godwit::kvm
