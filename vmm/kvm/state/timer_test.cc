// SPDX-License-Identifier: Apache-2.0
//
// Timers and pending interrupts that move with a guest.
#include "vmm/kvm/interrupt_guest.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/msr_index.h"
#include "vmm/kvm/state/apic_state.h"
#include "vmm/kvm/state/move_guest.h"

using namespace godwit;
using namespace godwit::kvm;

namespace {

constexpr std::size_t kLvtTimer = 0x320, kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0;
constexpr std::uint32_t kVector = 0x21, kPeriodic = 1u << 17, kTscDeadlineMode = 1u << 18;

// Programs the timer from outside, divided by one: counts are nanoseconds. Paused.
void set_timer(TestGuest& guest, std::uint32_t lvt, std::uint32_t count) {
    const int fd = guest.vcpus->at(0).fd();
    kvm_lapic_state lapic{};
    must(KVM_CONTROL(fd, KVM_GET_LAPIC, &lapic));
    const auto put = [&](std::size_t at, std::uint32_t value) {
        std::memcpy(lapic.regs + at, &value, sizeof value);
    };
    put(kLvtTimer, lvt);
    put(kDivide, 0xb);
    put(kInitialCount, count);
    put(kCurrentCount, count);
    must(KVM_CONTROL(fd, KVM_SET_LAPIC, &lapic));
}

// Into a new VM, which stays paused.
std::unique_ptr<InterruptGuest> moved(InterruptGuest& guest) {
    auto sections = all_sections(guest);
    const auto records = save(sections);
    auto next = std::make_unique<InterruptGuest>(false);
    copy_ram(guest, *next);
    auto incoming = all_sections(*next);
    must(load(incoming, records));
    return next;
}

void let_time_pass() {
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
}

} // namespace

// It is pending inside KVM then, where no ioctl shows it.
TEST_CASE("a one-shot timer that runs out while its vCPU is parked fires where the guest goes on",
          "[kvm][timer]") {
    InterruptGuest guest;
    guest.vcpus->pause();
    set_timer(guest, kVector, 1'000'000);
    kvm_lapic_state lapic{};
    std::uint32_t left = 1;
    while (left != 0) {
        let_time_pass();
        must(KVM_CONTROL(guest.vcpus->at(0).fd(), KVM_GET_LAPIC, &lapic));
        std::memcpy(&left, lapic.regs + kCurrentCount, sizeof left);
    }
    auto next = moved(guest);
    next->vcpus->resume();
    next->wait_for_interrupts(1);
    let_time_pass();
    next->vcpus->pause();
    REQUIRE(next->interrupts() == 1);
    REQUIRE(guest.interrupts() == 0);
}

TEST_CASE("a one-shot timer under way fires once, where the guest is", "[kvm][timer]") {
    InterruptGuest guest;
    guest.vcpus->pause();
    set_timer(guest, kVector, 4'000'000'000);
    guest.vcpus->resume();
    guest.vcpus->pause();
    auto sections = all_sections(guest);
    const auto state = parsed<ApicState>(find(save(sections), "apic"));
    REQUIRE(state.initial_count == 4'000'000'000);
    const std::uint32_t left = decode_timer(state, guest.vcpus->clock().now_ns());
    REQUIRE(left > 0);
    REQUIRE(left < 4'000'000'000);
    REQUIRE(state.timer_expiry == guest.vcpus->clock().now_ns() + left);
    // A short one, to see it fire.
    set_timer(guest, kVector, 300'000'000);
    auto next = moved(guest);
    next->vcpus->resume();
    next->wait_for_interrupts(1);
    let_time_pass();
    next->vcpus->pause();
    REQUIRE(next->interrupts() == 1);
    REQUIRE(guest.interrupts() == 0);
}

TEST_CASE("a periodic timer goes on", "[kvm][timer]") {
    InterruptGuest guest;
    guest.vcpus->pause();
    set_timer(guest, kVector | kPeriodic, 2'000'000);
    guest.vcpus->resume();
    guest.wait_for_interrupts(3);
    guest.vcpus->pause();
    auto next = moved(guest);
    next->vcpus->resume();
    next->wait_for_interrupts(5);
}

TEST_CASE("a TSC deadline is set after the LAPIC, and fires", "[kvm][timer]") {
    InterruptGuest guest;
    guest.vcpus->pause();
    set_timer(guest, kVector | kTscDeadlineMode, 0);
    const int fd = guest.vcpus->at(0).fd();
    std::array tsc{MsrValue{msr::kTsc}};
    must(read_msrs(fd, tsc));
    // Half a second ahead.
    const std::uint64_t deadline = tsc[0].value + std::uint64_t{guest.vcpus->at(0).tsc_khz()} * 500;
    must(write_msrs(fd, std::array{MsrValue{msr::kTscDeadline, deadline}}));
    auto next = moved(guest);
    std::array armed{MsrValue{msr::kTscDeadline}};
    must(read_msrs(next->vcpus->at(0).fd(), armed));
    REQUIRE(armed[0].value == deadline);
    next->vcpus->resume();
    next->wait_for_interrupts(1);
}

TEST_CASE("an interrupt that waits travels, and wakes the halted guest", "[kvm][timer]") {
    InterruptGuest guest;
    auto vector = must(guest.vm->irqs().msi());
    must(vector->route(0xfee00000, 0x23));
    let_time_pass(); // into HLT
    guest.vcpus->pause();
    vector->trigger();
    auto next = moved(guest); // the sections settle what is on its way
    next->vcpus->resume();
    next->wait_for_interrupts(1);
    let_time_pass();
    next->vcpus->pause();
    REQUIRE(next->interrupts() == 1);
}

TEST_CASE("an IOAPIC keeps its entries", "[kvm][timer]") {
    InterruptGuest guest;
    guest.vcpus->pause();
    kvm_irqchip chip{};
    chip.chip_id = KVM_IRQCHIP_IOAPIC;
    must(KVM_CONTROL(guest.vm->fd(), KVM_GET_IRQCHIP, &chip));
    chip.chip.ioapic.redirtbl[9].bits = 0x24;
    must(KVM_CONTROL(guest.vm->fd(), KVM_SET_IRQCHIP, &chip));
    auto next = moved(guest);
    auto line = must(next->vm->irqs().line(9));
    next->vcpus->resume();
    line->pulse();
    next->wait_for_interrupts(1);
}
