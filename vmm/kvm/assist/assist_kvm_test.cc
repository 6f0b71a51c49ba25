// SPDX-License-Identifier: Apache-2.0
//
// A guest in 64-bit mode at CPL0 that uses what some KVMs cannot emulate. With the assist it comes to the
// same results everywhere.
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/test_guest.h"

using namespace godwit;
using namespace godwit::kvm;

namespace {

constexpr Gpa kHandler3{0x11000};
constexpr Gpa kHandler14{0x12000};

// mov eax,0xff; popcnt rax,rax; out 0x10,eax
// stac; pushfq; pop rax; out 0x10,eax; clac; pushfq; pop rax; out 0x10,eax
// fwait; mov ebx,0x20000; stmxcsr [rbx]; mov eax,[rbx]; out 0x10,eax
// int3; mov eax,0x11; out 0x10,eax
// mov ebx,0x300000; popcnt eax,[rbx]
constexpr std::uint8_t kProgramBytes[] = {
    0xb8, 0xff, 0x00, 0x00, 0x00, 0xf3, 0x48, 0x0f, 0xb8, 0xc0, 0xe7, 0x10, 0x0f, 0x01,
    0xcb, 0x9c, 0x58, 0xe7, 0x10, 0x0f, 0x01, 0xca, 0x9c, 0x58, 0xe7, 0x10, 0x9b, 0xbb,
    0x00, 0x00, 0x02, 0x00, 0x0f, 0xae, 0x1b, 0x8b, 0x03, 0xe7, 0x10, 0xcc, 0xb8, 0x11,
    0x00, 0x00, 0x00, 0xe7, 0x10, 0xbb, 0x00, 0x00, 0x30, 0x00, 0xf3, 0x0f, 0xb8, 0x03};
constexpr std::uint64_t kAfterInt3 = 0x10000 + 40;
// pop rax; out 0x10,eax; push rax; iretq
constexpr std::uint8_t kBreakpointHandler[] = {0x58, 0xe7, 0x10, 0x50, 0x48, 0xcf};
// pop rax; out 0x10,eax; mov rax,cr2; out 0x10,eax; hlt
constexpr std::uint8_t kPageFaultHandler[] = {0x58, 0xe7, 0x10, 0x0f, 0x20, 0xd0, 0xe7, 0x10, 0xf4};

struct Descriptor {
    std::uint64_t low;
    std::uint64_t high;
};

Descriptor gate(Gpa handler) {
    return {(handler.value & 0xffff) | 8 << 16 | std::uint64_t{0x8e00} << 32 | (handler.value >> 16 << 48),
            0};
}

// One large page, an IDT with two gates, CPL0.
void enter_long_mode(TestGuest& guest) {
    GuestMemory& memory = *guest.memory;
    must(memory.write(Gpa{0x1000}, std::uint64_t{0x2003}));
    must(memory.write(Gpa{0x2000}, std::uint64_t{0x3003}));
    must(memory.write(Gpa{0x3000}, std::uint64_t{0x83}));
    must(memory.write(Gpa{0x4000 + 16 * 3}, gate(kHandler3)));
    must(memory.write(Gpa{0x4000 + 16 * 14}, gate(kHandler14)));
    must(memory.write(Gpa{0x5008}, std::uint64_t{0x00af9b000000ffff}));
    must(memory.write(Gpa{0x5010}, std::uint64_t{0x00cf93000000ffff}));
    must(memory.write(kHandler3, std::as_bytes(std::span{kBreakpointHandler})));
    must(memory.write(kHandler14, std::as_bytes(std::span{kPageFaultHandler})));
    const int fd = guest.vcpus->at(0).fd();
    kvm_sregs special{};
    must(KVM_CONTROL(fd, KVM_GET_SREGS, &special));
    special.cr3 = 0x1000;
    special.cr4 = 0x620;
    special.cr0 = 0x80010033;
    special.efer = 0x500;
    special.idt = {.base = 0x4000, .limit = 0xfff, .padding = {}};
    special.gdt = {.base = 0x5000, .limit = 0x17, .padding = {}};
    special.cs.selector = 8;
    special.cs.l = 1;
    special.cs.db = 0;
    special.ss.selector = 16;
    must(KVM_CONTROL(fd, KVM_SET_SREGS, &special));
    kvm_regs general{};
    general.rip = kProgram.value;
    general.rsp = 0x30000;
    general.rflags = 2;
    must(KVM_CONTROL(fd, KVM_SET_REGS, &general));
}

} // namespace

TEST_CASE("a guest goes on after instructions that KVM may not know at CPL0", "[kvm][assist]") {
    TestGuest guest{kProgramBytes};
    enter_long_mode(guest);
    guest.vcpus->at(0).assist_emulation();
    guest.vcpus->resume();
    guest.ports.wait_for_writes(8);
    std::vector<std::uint64_t> values;
    for (const auto& write : guest.ports.writes())
        values.push_back(write.value);
    REQUIRE(values == std::vector<std::uint64_t>{8, 0x40002, 0x2, 0x1f80, kAfterInt3, 0x11, 0, 0x300000});
    REQUIRE(guest.events.empty());
}

TEST_CASE("without the assist the error names the instruction, where it stands, and the mode",
          "[kvm][assist]") {
    // movd xmm0,eax; out 0x10,eax; hlt: the assist does not know it either
    constexpr std::uint8_t program[] = {0x66, 0x0f, 0x6e, 0xc0, 0xe7, 0x10, 0xf4};
    const bool assisted = GENERATE(false, true);
    TestGuest guest{program};
    enter_long_mode(guest);
    if (assisted)
        guest.vcpus->at(0).assist_emulation();
    guest.vcpus->resume();
    for (int i = 0; i < 3000 && guest.events.empty() && guest.ports.writes().empty(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    if (!guest.ports.writes().empty())
        return; // a KVM that runs CPL0 itself
    REQUIRE(guest.events.wait() ==
            "vCPU 0: KVM cannot emulate the instruction at rip 0x10000, 64-bit mode, CPL 0: "
            "movd xmm0, eax (66 0f 6e c0)");
}
