// SPDX-License-Identifier: Apache-2.0
//
// Interrupts, doorbells and the dirty log against the real KVM.
#include "vmm/kvm/dirty_log.h"
#include "vmm/kvm/interrupt_guest.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"

#include <bit>

using namespace godwit;
using namespace godwit::kvm;

namespace {

void write_redirection(Vm& vm, std::uint32_t pin, std::uint64_t entry) {
    kvm_irqchip chip{};
    chip.chip_id = KVM_IRQCHIP_IOAPIC;
    must(KVM_CONTROL(vm.fd(), KVM_GET_IRQCHIP, &chip));
    chip.chip.ioapic.redirtbl[pin].bits = entry;
    must(KVM_CONTROL(vm.fd(), KVM_SET_IRQCHIP, &chip));
}

std::size_t popcount(std::span<const std::uint64_t> words) {
    std::size_t count = 0;
    for (const std::uint64_t word : words)
        count += static_cast<std::size_t>(std::popcount(word));
    return count;
}

} // namespace

TEST_CASE("a message-signalled interrupt arrives once per trigger, where the route says", "[kvm][irq]") {
    InterruptGuest guest;
    auto vector = must(guest.vm->irqs().msi());
    auto other = must(guest.vm->irqs().msi());
    must(vector->route(0xfee00000, 0x21));
    must(other->route(0xfee00000, 0x22));
    for (std::size_t i = 1; i <= 20; ++i) {
        (i % 2 == 0 ? other : vector)->trigger();
        guest.wait_for_interrupts(i);
    }
    must(vector->route(0xfee00000, 0x25));
    vector->trigger();
    guest.wait_for_interrupts(21);
    // Elsewhere there is nobody: the vector is switched off.
    REQUIRE_FALSE(vector->route(0x1000, 0x21).ok());
    vector->trigger();
    other.reset();
    auto again = must(guest.vm->irqs().msi());
    must(again->route(0xfee00000, 0x23));
    again->trigger();
    guest.wait_for_interrupts(22);
    guest.vcpus->pause();
    REQUIRE(guest.interrupts() == 22);
    REQUIRE(guest.events.empty());
}

TEST_CASE("settle() keeps what was triggered while the guest stood", "[kvm][irq]") {
    InterruptGuest guest;
    auto vector = must(guest.vm->irqs().msi());
    must(vector->route(0xfee00000, 0x21));
    guest.vcpus->pause();
    vector->trigger();
    must(guest.vm->irqs().settle());
    must(guest.vm->irqs().settle());
    guest.vcpus->resume();
    guest.wait_for_interrupts(1);
    vector->trigger();
    guest.wait_for_interrupts(2);
}

TEST_CASE("IOAPIC inputs: an edge arrives once, a level as long as it is held", "[kvm][irq]") {
    InterruptGuest guest;
    // Program the redirection entries from outside, as a guest would through the registers.
    write_redirection(*guest.vm, 9, 0x24);           // edge
    write_redirection(*guest.vm, 12, 0x25 | 0x8000); // level
    auto edge = must(guest.vm->irqs().line(9));
    edge->pulse();
    guest.wait_for_interrupts(1);
    edge->pulse();
    guest.wait_for_interrupts(2);

    auto level = must(guest.vm->irqs().line(12));
    auto shared = must(guest.vm->irqs().line(12));
    level->set_level(true);
    shared->set_level(true);
    guest.wait_for_interrupts(5); // comes again after each end-of-interrupt
    level->set_level(false);
    const std::size_t held_by_one = guest.interrupts();
    guest.wait_for_interrupts(held_by_one + 2);
    shared->set_level(false);
    edge->pulse();
    guest.vcpus->pause();
    const std::size_t quiet = guest.interrupts();
    guest.vcpus->resume();
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    // The edge, one level that the LAPIC had accepted already, and one whose handler had begun.
    REQUIRE(guest.interrupts() <= quiet + 3);
    REQUIRE_FALSE(guest.vm->irqs().line(24).ok());
}

TEST_CASE("a doorbell counts the writes that match, without an exit", "[kvm][doorbell]") {
    // mov eax,7; mov [0xd0001000],ax; mov eax,9; mov [0xd0001000],ax; mov [0xd0002000],eax; out 0x10,al; hlt
    constexpr std::uint8_t program[] = {0xb8, 0x07, 0,    0,    0,    0x66, 0xa3, 0x00, 0x10, 0x00,
                                        0xd0, 0xb8, 0x09, 0,    0,    0,    0x66, 0xa3, 0x00, 0x10,
                                        0x00, 0xd0, 0xa3, 0x00, 0x20, 0x00, 0xd0, 0xe6, 0x10, 0xf4};
    TestGuest guest{program};
    auto matching = must(EventFd::create());
    auto any = must(EventFd::create());
    auto& doorbells = guest.vm->doorbells();
    auto first = must(doorbells.add_mmio(Gpa{0xd0001000}, 2, 7, matching));
    auto second = must(doorbells.add_mmio(Gpa{0xd0002000}, 0, std::nullopt, any));
    REQUIRE_FALSE(doorbells.add_mmio(Gpa{0xd0001000}, 2, 7, any).ok());
    REQUIRE_FALSE(doorbells.add_mmio(Gpa{0xd0001000}, 3, std::nullopt, any).ok());
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    REQUIRE(matching.consume());
    REQUIRE(any.consume());
    // The write of 9 did not match: it is an exit.
    REQUIRE(guest.mmio.writes() == std::vector{RecordingDevice::Access{0x1000, 2, 9}});
    // Taken away, the same address is an exit again.
    second.reset();
    guest.vcpus->pause();
    must(set_pvh_entry(guest.vcpus->at(0), kProgram, Gpa{0}));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(2);
    REQUIRE(matching.consume());
    REQUIRE_FALSE(any.consume());
    REQUIRE(guest.mmio.writes().size() == 3);
}

// KVM may map a page for writing when it is first read, and counts it then: the program's is such a page.
std::vector<std::uint64_t> without_program(std::vector<std::uint64_t> pages) {
    constexpr std::uint64_t page = kProgram.value / kPageSize;
    pages[page / 64] &= ~(std::uint64_t{1} << (page % 64));
    return pages;
}

TEST_CASE("the dirty log holds exactly the pages written", "[kvm][dirty]") {
    // mov edi,0x100000; 1: mov [edi],edi; add edi,0x3000; cmp edi,0x180000; jb 1b; out 0x10,al;
    // 2: in al,0x14; test al,al; jz 2b; mov [0x1a5000],eax; out 0x10,al; 3: hlt; jmp 3b
    constexpr std::uint8_t program[] = {0xbf, 0,    0,    0x10, 0,    0x89, 0x3f, 0x81, 0xc7, 0,
                                        0x30, 0,    0,    0x81, 0xff, 0,    0,    0x18, 0,    0x72,
                                        0xf0, 0xe6, 0x10, 0xe4, 0x14, 0x84, 0xc0, 0x74, 0xfa, 0xa3,
                                        0,    0x50, 0x1a, 0,    0xe6, 0x10, 0xf4, 0xeb, 0xfd};
    TestGuest guest{program};
    guest.ports.hold_reads_at_zero(true);
    DirtyLog log{*guest.vm};
    must(log.start());
    std::vector<std::uint64_t> words(log.word_count());
    REQUIRE(words.size() == kTestRam / kPageSize / 64);
    must(log.harvest_into(words));
    REQUIRE(popcount(words) == (guest.vm->dirty_log_clears_by_hand() ? kTestRam / kPageSize : 0));
    must(log.clear(0, words));

    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    std::vector<std::uint64_t> written(log.word_count());
    must(log.harvest_into(written));
    std::vector<std::uint64_t> expected(log.word_count());
    for (std::uint64_t page = 0x100; page < 0x180; page += 3)
        expected[page / 64] |= std::uint64_t{1} << (page % 64);
    REQUIRE(without_program(written) == expected);

    if (guest.vm->dirty_log_clears_by_hand()) {
        // What was not cleared is reported again; a part is cleared by itself.
        must(log.clear(4, std::span{written}.subspan(4, 1)));
        std::vector<std::uint64_t> again(log.word_count());
        must(log.harvest_into(again));
        expected[4] = 0;
        REQUIRE(without_program(again) == expected);
        must(log.clear(0, again));
    }
    guest.ports.hold_reads_at_zero(false);
    guest.ports.wait_for_writes(2);
    std::ranges::fill(written, 0);
    must(log.harvest_into(written));
    std::ranges::fill(expected, 0);
    expected[0x1a5 / 64] = std::uint64_t{1} << (0x1a5 % 64);
    REQUIRE(without_program(written) == expected);
    must(log.stop());
    must(log.stop());
}

TEST_CASE("a dirty log of two pieces of RAM is one run of words", "[kvm][dirty]") {
    constexpr std::uint8_t program[] = {0xf4};
    // 1 MiB below, then 1 MiB and 5 pages at 4 GiB.
    TestGuest guest{program, 1, kTestRam + 5 * kPageSize, 1 << 20};
    DirtyLog log{*guest.vm};
    must(log.start());
    std::vector<std::uint64_t> words(log.word_count());
    REQUIRE(words.size() == 9);
    must(log.harvest_into(words));
    if (guest.vm->dirty_log_clears_by_hand()) {
        REQUIRE(popcount(words) == guest.memory->page_count());
        REQUIRE(words[8] == 0x1f);
        must(log.clear(3, std::span{words}.subspan(3)));
        std::vector<std::uint64_t> rest(log.word_count());
        must(log.harvest_into(rest));
        REQUIRE(popcount(rest) == 3 * 64);
    }
}

TEST_CASE("RAM whose second piece does not start on a word of the log is refused", "[kvm][dirty]") {
    auto kvm = must(Kvm::open());
    auto memory = must(GuestMemory::create(1 << 20, 3 * kPageSize));
    const auto vm = Vm::create(*kvm, *memory);
    REQUIRE_FALSE(vm.ok());
    REQUIRE(vm.error().code == ErrorCode::InvalidInput);
}

TEST_CASE("a KVM device that is missing or is none is one clear sentence", "[kvm]") {
    const auto missing = Kvm::open("/nowhere/kvm");
    REQUIRE(missing.error().code == ErrorCode::NoDevice);
    REQUIRE(missing.error().text.find("/nowhere/kvm is missing") == 0);
    const auto other = Kvm::open("/dev/null");
    REQUIRE(other.error().code == ErrorCode::NoDevice);
    REQUIRE(other.error().text == "/dev/null is not a KVM device");
}
