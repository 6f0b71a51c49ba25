// SPDX-License-Identifier: Apache-2.0
//
// Running and pausing: exits are carried out exactly once, whatever pauses come.
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/test_guest.h"

using namespace godwit;
using namespace godwit::kvm;

namespace {

// xor eax,eax; 1: inc eax; out 0x10,eax; jmp 1b
constexpr std::uint8_t kCount[] = {0x31, 0xc0, 0x40, 0xe7, 0x10, 0xeb, 0xfb};

// 1: in eax,0x14; out 0x10,eax; mov [0xd0000ffe],eax (crosses a page: two exits); mov ebx,[0xd0000010];
// mov [0xd0000020],ebx; jmp 1b
constexpr std::uint8_t kEcho[] = {0xe5, 0x14, 0xe7, 0x10, 0xa3, 0xfe, 0x0f, 0x00, 0xd0, 0x8b, 0x1d, 0x10,
                                  0x00, 0x00, 0xd0, 0x89, 0x1d, 0x20, 0x00, 0x00, 0xd0, 0xeb, 0xe9};

kvm_regs registers(Vcpu& vcpu) {
    kvm_regs regs{};
    must(KVM_CONTROL(vcpu.fd(), KVM_GET_REGS, &regs));
    return regs;
}

} // namespace

TEST_CASE("port and memory accesses reach the device that is mapped there", "[kvm]") {
    TestGuest guest{kEcho};
    guest.vcpus->resume();
    guest.mmio.wait_for_writes(6);
    guest.vcpus->pause();
    const auto port = guest.ports.writes();
    REQUIRE(port[0] == RecordingDevice::Access{0, 4, 0});
    REQUIRE(port[1] == RecordingDevice::Access{0, 4, 1});
    const auto mmio = guest.mmio.writes();
    REQUIRE(mmio[0] == RecordingDevice::Access{0xffe, 2, 0});
    REQUIRE(mmio[1] == RecordingDevice::Access{0x1000, 2, 0});
    REQUIRE(mmio[2] == RecordingDevice::Access{0x20, 4, 0});
    REQUIRE(mmio[3] == RecordingDevice::Access{0xffe, 2, 1});
    REQUIRE(mmio[5] == RecordingDevice::Access{0x20, 4, 1});
    REQUIRE(guest.events.empty());
}

TEST_CASE("an access that nobody claims reads as all ones", "[kvm]") {
    // in al,0x40; out 0x10,al; hlt
    constexpr std::uint8_t program[] = {0xe4, 0x40, 0xe6, 0x10, 0xf4};
    TestGuest guest{program};
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    REQUIRE(guest.ports.writes()[0].value == 0xff);
}

TEST_CASE("string output is one access per element", "[kvm]") {
    // mov esi,0x10000; mov ecx,4; mov dx,0x12; rep outsb; out 0x10,al; hlt
    constexpr std::uint8_t program[] = {0xbe, 0x00, 0x00, 0x01, 0x00, 0xb9, 0x04, 0x00, 0x00, 0x00,
                                        0x66, 0xba, 0x12, 0x00, 0xf3, 0x6e, 0xe6, 0x10, 0xf4};
    TestGuest guest{program};
    guest.vcpus->resume();
    guest.ports.wait_for_writes(5);
    const auto writes = guest.ports.writes();
    for (std::size_t i = 0; i < 4; ++i)
        REQUIRE(writes[i] == RecordingDevice::Access{2, 1, program[i]});
    REQUIRE(writes[4].offset == 0);
}

TEST_CASE("a pause loses no exit and repeats none: a counter written to a port", "[kvm][pause]") {
    TestGuest guest{kCount};
    guest.vcpus->resume();
    std::uint64_t last = 0;
    for (int round = 0; round < 300; ++round) {
        guest.ports.wait_for_writes(last + 1);
        guest.vcpus->pause();
        const auto writes = guest.ports.writes();
        for (std::uint64_t i = last; i < writes.size(); ++i)
            REQUIRE(writes[i].value == i + 1);
        last = writes.size();
        // The last output is complete: either the next increment has not been done, or it has and its output
        // has not begun.
        const kvm_regs regs = registers(guest.vcpus->at(0));
        if (regs.rip == kProgram.value + 3)
            REQUIRE(regs.rax == last + 1);
        else
            REQUIRE(regs.rax == last);
        REQUIRE(guest.ports.writes().size() == last);
        guest.vcpus->resume();
    }
}

TEST_CASE("a pause completes input, and every part of a split access", "[kvm][pause]") {
    TestGuest guest{kEcho};
    guest.vcpus->resume();
    std::size_t seen = 0;
    for (int round = 0; round < 300; ++round) {
        guest.ports.wait_for_writes(seen + 1);
        guest.vcpus->pause();
        const kvm_regs regs = registers(guest.vcpus->at(0));
        const auto port = guest.ports.writes();
        const auto mmio = guest.mmio.writes();
        for (; seen < port.size(); ++seen)
            REQUIRE(port[seen].value == seen);
        // A value that was read is in the register, or already written out.
        const bool between = regs.rip == kProgram.value + 2;
        REQUIRE(guest.ports.reads() == port.size() + (between ? 1 : 0));
        REQUIRE(regs.rax == guest.ports.reads() - 1);
        // 2 parts, then 1 write of what was read: at whole iterations 3 per output.
        std::size_t split = 0;
        std::size_t plain = 0;
        for (const auto& access : mmio)
            (access.offset == 0x20 ? plain : split) += 1;
        REQUIRE(split % 2 == 0);
        REQUIRE(guest.mmio.reads() - plain <= 1);
        guest.vcpus->resume();
    }
}

TEST_CASE("pauses are counted", "[kvm][pause]") {
    TestGuest guest{kCount};
    guest.vcpus->resume();
    guest.ports.wait_for_writes(10);
    std::size_t before = 0;
    {
        const VcpuPause outer{*guest.vcpus};
        { const VcpuPause inner{*guest.vcpus}; }
        REQUIRE(guest.vcpus->paused());
        before = guest.ports.writes().size();
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
        REQUIRE(guest.ports.writes().size() == before);
    }
    guest.ports.wait_for_writes(before + 10);
    VcpuPause kept{*guest.vcpus};
    kept.keep();
    { const VcpuPause dropped = std::move(kept); }
    REQUIRE(guest.vcpus->paused());
}

TEST_CASE("the guest's clock stands still while it is paused", "[kvm][pause]") {
    TestGuest guest{kCount};
    REQUIRE(guest.vcpus->clock().now_ns() == 0);
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    guest.vcpus->pause();
    const auto now = guest.vcpus->clock().now_ns();
    REQUIRE(now > 0);
    const auto frozen = guest.vcpus->kvmclock().frozen();
    REQUIRE(frozen.has_value());
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
    REQUIRE(guest.vcpus->clock().now_ns() == now);
    guest.vcpus->resume();
    REQUIRE_FALSE(guest.vcpus->kvmclock().frozen().has_value());
}

TEST_CASE("kvm-clock is put forward by the time that the guest stood still, if it is to follow the host",
          "[kvm][pause]") {
    constexpr std::uint64_t kSecond = 1'000'000'000, kStart = 5000 * kSecond;
    TestGuest guest{kCount};
    const auto goes_on_at = [&](bool follows_host, std::int64_t stopped_ago) {
        KvmClock clock{guest.vm->fd(), follows_host};
        clock.set_frozen(kStart);
        REQUIRE_FALSE(clock.stopped_at().has_value());
        const auto now = std::chrono::system_clock::now().time_since_epoch();
        clock.set_stopped_at(std::chrono::nanoseconds{now}.count() - stopped_ago * std::int64_t{kSecond});
        must(clock.thaw());
        must(clock.freeze());
        REQUIRE(clock.stopped_at().value_or(0) >= std::chrono::nanoseconds{now}.count());
        return (clock.frozen().value_or(0) - kStart) / kSecond;
    };
    CHECK(goes_on_at(true, 1000) / 100 == 10);
    CHECK(goes_on_at(false, 1000) / 100 == 0);
    CHECK(goes_on_at(true, -1000) / 100 == 0); // this host's clock is behind: it does not go back
}

TEST_CASE("a triple fault is reported, and the vCPU waits for its restart", "[kvm]") {
    // lidt [0x9000] (zeros: an empty table); ud2. On the way: nothing else.
    constexpr std::uint8_t program[] = {0x0f, 0x01, 0x1d, 0x00, 0x90, 0x00, 0x00, 0x0f, 0x0b};
    TestGuest guest{program};
    guest.vcpus->resume();
    REQUIRE(guest.events.wait() == "triple fault");
    guest.vcpus->pause();
    constexpr std::uint8_t hello[] = {0xe6, 0x10, 0xf4}; // out 0x10,al; hlt
    must(guest.memory->write(kProgram, std::as_bytes(std::span{hello})));
    must(set_pvh_entry(guest.vcpus->at(0), kProgram, Gpa{0}));
    guest.vcpus->restart(0);
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
}

TEST_CASE("an instruction that KVM cannot emulate ends the guest with one line", "[kvm]") {
    // jmp 0xd0000000: code in a device's registers
    constexpr std::uint8_t program[] = {0xb8, 0x00, 0x00, 0x00, 0xd0, 0xff, 0xe0};
    TestGuest guest{program};
    guest.vcpus->resume();
    const std::string text = guest.events.wait();
    INFO(text);
    REQUIRE(text.find("vCPU 0") == 0);
    REQUIRE(text.find("0xd0000000, 32-bit mode, CPL 0") != std::string::npos);
    REQUIRE(text.find('\n') == std::string::npos);
}

TEST_CASE("guests are offered only what the state stream carries", "[kvm]") {
    TestGuest guest{kCount};
    const auto reg = [&](std::uint32_t leaf, std::uint32_t index, std::uint32_t CpuidEntry::*at) {
        const CpuidEntry* const entry = find_leaf(guest.vcpus->at(0).cpuid(), leaf, index);
        return entry == nullptr ? 0 : entry->*at;
    };
    REQUIRE((reg(1, 0, &CpuidEntry::ecx) & (1u << 5)) == 0);          // VMX
    REQUIRE((reg(0x80000001, 0, &CpuidEntry::ecx) & (1u << 2)) == 0); // SVM
    REQUIRE(reg(0xa, 0, &CpuidEntry::eax) == 0);                      // performance counters
    REQUIRE((reg(0xd, 0, &CpuidEntry::eax) & ~kCarriedXsaveComponents) == 0);
    REQUIRE((reg(1, 0, &CpuidEntry::ecx) & (1u << 24)) != 0); // TSC deadline
    REQUIRE(reg(0x40000010, 0, &CpuidEntry::eax) == guest.vcpus->at(0).tsc_khz());
}

TEST_CASE("application processors wait, and can be paused while they do", "[kvm]") {
    TestGuest guest{kCount, 4};
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    for (int round = 0; round < 20; ++round) {
        const VcpuPause pause{*guest.vcpus};
        for (std::uint32_t i = 1; i < 4; ++i) {
            kvm_mp_state state{};
            must(KVM_CONTROL(guest.vcpus->at(i).fd(), KVM_GET_MP_STATE, &state));
            REQUIRE(state.mp_state == KVM_MP_STATE_UNINITIALIZED);
        }
    }
}

TEST_CASE("an application processor starts where the start-up interrupt says", "[kvm]") {
    // mov dword [0xfee000f0],0x1ff; mov dword [0xfee00310],0x01000000; mov dword [0xfee00300],0x4500 (INIT);
    // mov dword [0xfee00300],0x4611 (start at 0x11000); hlt
    constexpr std::uint8_t program[] = {0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, 0xc7,
                                        0x05, 0x10, 0x03, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x01, 0xc7, 0x05,
                                        0x00, 0x03, 0xe0, 0xfe, 0x00, 0x45, 0x00, 0x00, 0xc7, 0x05, 0x00,
                                        0x03, 0xe0, 0xfe, 0x11, 0x46, 0x00, 0x00, 0xf4};
    constexpr std::uint8_t real_mode[] = {0xb0, 0x42, 0xe6, 0x11, 0xf4}; // mov al,0x42; out 0x11,al; hlt
    TestGuest guest{program, 2};
    must(guest.memory->write(Gpa{0x11000}, std::as_bytes(std::span{real_mode})));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    REQUIRE(guest.ports.writes()[0] == RecordingDevice::Access{1, 1, 0x42});
}

TEST_CASE("the 64-bit entry runs with paging, the zero page in rsi", "[kvm]") {
    // mov eax,esi; out 0x10,eax; hlt: the same bytes in 64-bit mode
    constexpr std::uint8_t program[] = {0x89, 0xf0, 0xe7, 0x10, 0xf4};
    TestGuest guest{program};
    constexpr Gpa pml4{0x2000}, pdpt{0x3000}, directory{0x4000}, gdt{0x5000};
    must(guest.memory->write(pml4, pdpt.value | 3));
    must(guest.memory->write(pdpt, directory.value | 3));
    must(guest.memory->write(directory, std::uint64_t{0x83}));
    must(guest.memory->write(gdt, std::as_bytes(std::span{kBootGdt})));
    must(set_linux64_entry(guest.vcpus->at(0), {kProgram, Gpa{0x7000}, pml4, gdt, Gpa{0x8000}}));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    REQUIRE(guest.ports.writes()[0].value == 0x7000);
}
