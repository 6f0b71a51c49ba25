// SPDX-License-Identifier: Apache-2.0
//
// Each instruction on an image, where it can be had judged by the host's own CPU.
#include "vmm/kvm/assist/instructions.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <initializer_list>

using namespace godwit;
using namespace godwit::kvm;

namespace {

constexpr std::uint64_t kData = 0x10000;       // RAM for operands
constexpr std::uint64_t kReadOnly = 0x20000;   // a page that must not be written
constexpr std::uint64_t kUserPage = 0x30000;   // a page of CPL3
constexpr std::uint64_t kMissing = 0x40000;    // a page that is not there
constexpr std::uint64_t kDevice = 0x50000;     // a page that is mapped to no RAM
constexpr std::uint64_t kLargePage = 0x200000; // 2 MiB, to the start of RAM

// 4-level tables at 0x1000 that map the first 2 MiB to itself.
struct Machine {
    std::unique_ptr<GuestMemory> memory = std::move(GuestMemory::create(2 << 20, 2 << 20)).value();
    CpuImage cpu;
    XsaveAreas layout = host_xsave_areas();

    Machine() {
        put(0x1000, 0x2007);
        put(0x2000, 0x3007);
        put(0x3000, 0x4007);
        put(0x3008, 0x0 | 0x83); // the second 2 MiB: the first again, by a large page
        for (std::uint64_t page = 0; page < 512; ++page)
            put(0x4000 + 8 * page, page << 12 | 3);
        put(0x4000 + 8 * (kReadOnly >> 12), kReadOnly | 1);
        put(0x4000 + 8 * (kUserPage >> 12), kUserPage | 7);
        put(0x4000 + 8 * (kMissing >> 12), 0);
        put(0x4000 + 8 * (kDevice >> 12), 0xfee00003);
        cpu.cr0 = cr0::kPg | cr0::kWp | cr0::kNe | cr0::kMp;
        cpu.cr3 = 0x1000;
        cpu.cr4 = cr4::kOsfxsr | cr4::kOsxsave;
        cpu.rip = 0x8000;
        cpu.rflags = 2;
        cpu.gpr[kRbx] = kData;
        cpu.xcr0 = layout.supported;
        cpu.xsave.resize(kXsaveImage);
        const std::uint32_t mxcsr = 0x1f80;
        std::memcpy(cpu.xsave.data() + 24, &mxcsr, 4);
    }
    void put(std::uint64_t at, std::uint64_t value) { REQUIRE(memory->write(Gpa{at}, value).ok()); }
    std::uint64_t entry(std::uint64_t page) {
        return *memory->read<std::uint64_t>(Gpa{0x4000 + 8 * (page >> 12)});
    }

    Carried run(std::initializer_list<std::uint8_t> code) {
        std::array<std::byte, 15> bytes{};
        std::memcpy(bytes.data(), code.begin(), code.size());
        const auto instruction = Instruction::decode(std::span{bytes}.first(code.size()), CodeSize::Bits64);
        REQUIRE(instruction);
        const AssistedInstruction* const known = assisted(instruction->mnemonic());
        REQUIRE(known != nullptr);
        cpu.raised.reset();
        LinearMemory linear{*memory, cpu};
        const std::uint64_t rip = cpu.rip;
        const Carried result = carry_out(*known, {*instruction, layout, cpu, linear});
        if (result == Carried::Out)
            REQUIRE(cpu.rip == rip + code.size());
        return result;
    }
    void check_raises(std::initializer_list<std::uint8_t> code, CpuException what) {
        const std::uint64_t rip = cpu.rip;
        REQUIRE(run(code) == Carried::Raised);
        REQUIRE(cpu.raised == what);
        REQUIRE(cpu.rip == rip);
    }
};

CpuException page_fault(std::uint32_t error) {
    return {exception::kPageFault, error};
}

} // namespace

TEST_CASE("a name and operands for messages, in every mode", "[assist]") {
    const std::array popcnt{std::byte{0xf3}, std::byte{0x48}, std::byte{0x0f}, std::byte{0xb8},
                            std::byte{0xc3}};
    REQUIRE(Instruction::decode(popcnt, CodeSize::Bits64)->text(0) == "popcnt rax, rbx");
    const std::array relative{std::byte{0x75}, std::byte{0xfe}};
    REQUIRE(Instruction::decode(relative, CodeSize::Bits16)->text(0x1234) == "jnz 0x1234");
    const std::array nothing{std::byte{0x0f}, std::byte{0xff}};
    REQUIRE_FALSE(Instruction::decode(std::span{nothing}.first(1), CodeSize::Bits32));
}

TEST_CASE("POPCNT", "[assist]") {
    Machine m;
    m.cpu.gpr[kRbx] = 0xffff'0000'0000'0001;
    m.cpu.gpr[kRax] = ~std::uint64_t{0};
    m.cpu.rflags = 0xfff;
    REQUIRE(m.run({0xf3, 0x48, 0x0f, 0xb8, 0xc3}) == Carried::Out); // rax, rbx
    REQUIRE(m.cpu.gpr[kRax] == 17);
    REQUIRE((m.cpu.rflags & 0x8d5) == 0);
    REQUIRE(m.run({0xf3, 0x0f, 0xb8, 0xc3}) == Carried::Out); // eax, ebx
    REQUIRE(m.cpu.gpr[kRax] == 1);
    m.cpu.gpr[kRax] = 0x1234'5678'9abc'def0;
    m.cpu.gpr[kRbx] = kData;
    m.put(kData, 0xf0f0'0000'0000'0000);
    REQUIRE(m.run({0x66, 0xf3, 0x0f, 0xb8, 0x03}) == Carried::Out); // ax, [rbx]
    REQUIRE(m.cpu.gpr[kRax] == 0x1234'5678'9abc'0000);
    REQUIRE((m.cpu.rflags & rflags::kZf) != 0);
    REQUIRE(m.run({0xf3, 0x48, 0x0f, 0xb8, 0x43, 0xfe}) == Carried::Out); // rax, [rbx-2]
    REQUIRE(m.run({0xf3, 0x4d, 0x0f, 0xb8, 0x03}) == Carried::Out);       // r8, [r11]: address 0
    REQUIRE(m.cpu.gpr[8] == 0);
}

TEST_CASE("operands: scaled index, RIP, segment bases, 32-bit addresses", "[assist]") {
    Machine m;
    m.put(kData + 0x48, 0x7);
    m.cpu.gpr[kRcx] = 8;
    REQUIRE(m.run({0xf3, 0x48, 0x0f, 0xb8, 0x44, 0xcb, 0x08}) == Carried::Out); // rax, [rbx+rcx*8+8]
    REQUIRE(m.cpu.gpr[kRax] == 3);
    m.put(0x8009 + 0x100, 0xff);
    m.cpu.rip = 0x8000;
    REQUIRE(m.run({0xf3, 0x48, 0x0f, 0xb8, 0x05, 0x00, 0x01, 0x00, 0x00}) ==
            Carried::Out); // rax, [rip+0x100]
    REQUIRE(m.cpu.gpr[kRax] == 8);
    m.cpu.gs_base = kData;
    REQUIRE(m.run({0x65, 0xf3, 0x48, 0x0f, 0xb8, 0x04, 0x25, 0x48, 0, 0, 0}) ==
            Carried::Out); // rax, gs:[0x48]
    REQUIRE(m.cpu.gpr[kRax] == 3);
    m.cpu.gpr[kRbx] = 0xffff'ffff'0000'0000 | (kData + 0x48);
    REQUIRE(m.run({0x67, 0xf3, 0x48, 0x0f, 0xb8, 0x03}) == Carried::Out); // rax, [ebx]
    REQUIRE(m.cpu.gpr[kRax] == 3);
}

TEST_CASE("CMPXCHG16B", "[assist]") {
    Machine m;
    m.put(kData, 1);
    m.put(kData + 8, 2);
    m.cpu.gpr[kRax] = 1;
    m.cpu.gpr[kRdx] = 2;
    m.cpu.gpr[kRcx] = 4;
    m.cpu.gpr[7] = kData; // rdi
    m.cpu.gpr[kRbx] = 3;
    REQUIRE(m.run({0xf0, 0x48, 0x0f, 0xc7, 0x0f}) == Carried::Out);
    REQUIRE((m.cpu.rflags & rflags::kZf) != 0);
    REQUIRE(*m.memory->read<std::uint64_t>(Gpa{kData}) == 3);
    REQUIRE(*m.memory->read<std::uint64_t>(Gpa{kData + 8}) == 4);
    REQUIRE(m.run({0x48, 0x0f, 0xc7, 0x0f}) == Carried::Out);
    REQUIRE((m.cpu.rflags & rflags::kZf) == 0);
    REQUIRE(m.cpu.gpr[kRax] == 3);
    REQUIRE(m.cpu.gpr[kRdx] == 4);
    m.cpu.gpr[7] = kData + 8;
    m.check_raises({0x48, 0x0f, 0xc7, 0x0f}, exception::kGeneralProtection);
}

TEST_CASE("INT3 returns behind itself", "[assist]") {
    Machine m;
    REQUIRE(m.run({0xcc}) == Carried::Raised);
    REQUIRE(m.cpu.raised == exception::kBreakpoint);
    REQUIRE(m.cpu.rip == 0x8001);
}

TEST_CASE("STAC and CLAC", "[assist]") {
    Machine m;
    REQUIRE(m.run({0x0f, 0x01, 0xcb}) == Carried::Out);
    REQUIRE((m.cpu.rflags & rflags::kAc) != 0);
    REQUIRE(m.run({0x0f, 0x01, 0xca}) == Carried::Out);
    REQUIRE((m.cpu.rflags & rflags::kAc) == 0);
    m.cpu.cpl = 3;
    m.check_raises({0x0f, 0x01, 0xca}, exception::kInvalidOpcode);
    m.check_raises({0x0f, 0x01, 0xcb}, exception::kInvalidOpcode);
}

TEST_CASE("FWAIT", "[assist]") {
    Machine m;
    REQUIRE(m.run({0x9b}) == Carried::Out);
    m.cpu.xsave[2] = std::byte{0x80}; // an exception that is not masked
    m.check_raises({0x9b}, exception::kX87);
    m.cpu.cr0 |= cr0::kTs;
    m.check_raises({0x9b}, exception::kDeviceNotAvailable);
}

TEST_CASE("LDMXCSR and STMXCSR", "[assist]") {
    Machine m;
    m.put(kData, 0x1fa0);
    REQUIRE(m.run({0x0f, 0xae, 0x13}) == Carried::Out);
    REQUIRE(m.cpu.xsave_changed);
    m.cpu.gpr[kRbx] = kData + 8;
    REQUIRE(m.run({0x0f, 0xae, 0x1b}) == Carried::Out);
    REQUIRE(*m.memory->read<std::uint32_t>(Gpa{kData + 8}) == 0x1fa0);
    m.put(kData + 8, 0x10000);
    m.check_raises({0x0f, 0xae, 0x13}, exception::kGeneralProtection);
    m.cpu.cr4 = 0;
    m.check_raises({0x0f, 0xae, 0x13}, exception::kInvalidOpcode);
}

TEST_CASE("RDTSCP and RDPID", "[assist]") {
    Machine m;
    m.cpu.tsc = 0x1122334455667788;
    m.cpu.tsc_aux = 7;
    m.cpu.gpr[kRax] = m.cpu.gpr[kRcx] = m.cpu.gpr[kRdx] = ~std::uint64_t{0};
    REQUIRE(m.run({0x0f, 0x01, 0xf9}) == Carried::Out);
    REQUIRE(m.cpu.gpr[kRax] == 0x55667788);
    REQUIRE(m.cpu.gpr[kRdx] == 0x11223344);
    REQUIRE(m.cpu.gpr[kRcx] == 7);
    REQUIRE(m.run({0xf3, 0x0f, 0xc7, 0xf8}) == Carried::Out);
    REQUIRE(m.cpu.gpr[kRax] == 7);
}

TEST_CASE("INVPCID", "[assist]") {
    Machine m;
    m.put(kData, 5);
    m.put(kData + 8, 0x1000);
    m.cpu.gpr[kRax] = 1;
    REQUIRE(m.run({0x66, 0x0f, 0x38, 0x82, 0x03}) == Carried::Out);
    REQUIRE(m.cpu.flush_tlb);
    m.put(kData, 0x1000);
    m.check_raises({0x66, 0x0f, 0x38, 0x82, 0x03}, exception::kGeneralProtection);
    m.cpu.gpr[kRax] = 4;
    m.check_raises({0x66, 0x0f, 0x38, 0x82, 0x03}, exception::kGeneralProtection);
}

TEST_CASE("XGETBV and XSETBV", "[assist]") {
    Machine m;
    m.cpu.gpr[kRax] = 3;
    REQUIRE(m.run({0x0f, 0x01, 0xd1}) == Carried::Out);
    REQUIRE(m.cpu.xcr0 == 3);
    REQUIRE(m.cpu.xcr0_changed);
    m.cpu.gpr[kRax] = 0;
    REQUIRE(m.run({0x0f, 0x01, 0xd0}) == Carried::Out);
    REQUIRE(m.cpu.gpr[kRax] == 3);
    for (const std::uint64_t bad : {0, 2, 5, 0x23}) { // no x87; AVX without SSE; a third of AVX-512
        m.cpu.gpr[kRax] = bad;
        m.check_raises({0x0f, 0x01, 0xd1}, exception::kGeneralProtection);
    }
    m.cpu.gpr[kRcx] = 2;
    m.check_raises({0x0f, 0x01, 0xd0}, exception::kGeneralProtection);
    m.cpu.cr4 = 0;
    m.check_raises({0x0f, 0x01, 0xd0}, exception::kInvalidOpcode);
}

TEST_CASE("page tables decide: faults, their codes, accessed and dirty bits", "[assist]") {
    Machine m;
    const std::initializer_list<std::uint8_t> read = {0xf3, 0x48, 0x0f, 0xb8, 0x03}; // popcnt rax, [rbx]
    const std::initializer_list<std::uint8_t> write = {0x0f, 0xae, 0x1b};            // stmxcsr [rbx]
    REQUIRE((m.entry(kData) & 0x60) == 0);
    REQUIRE(m.run(read) == Carried::Out);
    REQUIRE((m.entry(kData) & 0x60) == 0x20);
    REQUIRE(m.run(write) == Carried::Out);
    REQUIRE((m.entry(kData) & 0x60) == 0x60);

    m.cpu.gpr[kRbx] = kMissing + 8;
    m.check_raises(read, page_fault(0));
    REQUIRE(m.cpu.cr2 == kMissing + 8);
    m.check_raises(write, page_fault(2));
    m.cpu.gpr[kRbx] = kReadOnly;
    REQUIRE(m.run(read) == Carried::Out);
    m.check_raises(write, page_fault(3));
    m.cpu.cr0 &= ~cr0::kWp;
    REQUIRE(m.run(write) == Carried::Out);

    m.cpu.gpr[kRbx] = kUserPage;
    m.cpu.cr4 |= cr4::kSmap;
    m.check_raises(read, page_fault(1));
    m.cpu.rflags |= rflags::kAc;
    REQUIRE(m.run(read) == Carried::Out);
    m.cpu.cpl = 3;
    m.cpu.gpr[kRbx] = kData;
    m.check_raises(read, page_fault(5));
    m.check_raises(write, page_fault(7));
    m.cpu.cpl = 0;

    m.cpu.gpr[kRbx] = 0x8000'0000'0000'0000;
    m.check_raises(read, exception::kGeneralProtection);
    m.cpu.gpr[kRbx] = kDevice;
    REQUIRE(m.run(read) == Carried::NotOurs);
    m.cpu.gpr[kRbx] = kLargePage + kData + 4;
    REQUIRE(m.run(write) == Carried::Out);
    REQUIRE(*m.memory->read<std::uint32_t>(Gpa{kData + 4}) == 0x1f80);
    m.cpu.cr3 = 0xfee00000;
    REQUIRE(m.run(read) == Carried::NotOurs);
}

TEST_CASE("a write that reaches into a page that faults changes nothing", "[assist]") {
    Machine m;
    m.cpu.gpr[kRbx] = kReadOnly - 2;
    REQUIRE(m.run({0x0f, 0xae, 0x1b}) == Carried::Raised);
    REQUIRE(m.cpu.cr2 == kReadOnly);
    REQUIRE(*m.memory->read<std::uint16_t>(Gpa{kReadOnly - 2}) == 0);
}

namespace {

struct alignas(64) Area {
    std::byte bytes[kXsaveImage];
};

// What this CPU makes of its own state: all of it, and the part `mask` by XSAVE and by XSAVEC, with nothing
// between.
struct Judged {
    Area all{};
    Area standard{};
    Area compacted{};
};

[[gnu::noinline]] void ask_the_cpu(Judged& judged, std::uint32_t mask) {
    const std::uint32_t everything = 0xffff'ffff;
    asm volatile("mov %[everything], %%eax; mov %[everything], %%edx; xsave64 (%[all])\n\t"
                 "mov %[mask], %%eax; xor %%edx, %%edx; xsave64 (%[standard])\n\t"
                 "mov %[mask], %%eax; xor %%edx, %%edx; xsavec64 (%[compacted])"
                 :
                 : [everything] "r"(everything), [mask] "r"(mask), [all] "r"(judged.all.bytes),
                   [standard] "r"(judged.standard.bytes), [compacted] "r"(judged.compacted.bytes)
                 : "eax", "edx", "memory");
}

} // namespace

TEST_CASE("XSAVE and XSAVEC write what the CPU itself writes", "[assist]") {
    if (__builtin_cpu_supports("xsavec") == 0)
        return; // nothing here that could judge
    const auto mask = GENERATE(0u, 1u, 2u, 3u, 4u, 7u, 0xe7u, 0x2ffu);
    INFO("mask " << mask);
    Judged judged;
    ask_the_cpu(judged, mask);
    Machine m;
    std::memcpy(m.cpu.xsave.data(), judged.all.bytes, kXsaveImage);
    m.cpu.gpr[kRax] = mask;
    const auto made = [&](std::initializer_list<std::uint8_t> code) {
        const std::vector<std::byte> zeros(kXsaveImage);
        REQUIRE(m.memory->write(Gpa{kData}, zeros).ok());
        REQUIRE(m.run(code) == Carried::Out);
        Area area{};
        REQUIRE(m.memory->read(Gpa{kData}, std::span{area.bytes}).ok());
        return area;
    };
    // Offsets below 576, and the components' places; padding is not compared because it is nobody's.
    const Area standard = made({0x48, 0x0f, 0xae, 0x23});
    CHECK(std::memcmp(standard.bytes, judged.standard.bytes, kXsaveImage) == 0);
    const Area compacted = made({0x48, 0x0f, 0xc7, 0x23});
    CHECK(std::memcmp(compacted.bytes, judged.compacted.bytes, kXsaveImage) == 0);
}

TEST_CASE("XRSTOR loads what XSAVE saved, in both formats, and initialises the rest", "[assist]") {
    Machine m;
    for (std::size_t i = 0; i < 416; ++i)
        if (i < 24 || i >= 32)
            m.cpu.xsave[i] = static_cast<std::byte>(i);
    m.cpu.xsave[512] = std::byte{3};
    const std::vector<std::byte> saved = m.cpu.xsave;
    for (const bool compact : {false, true}) {
        m.cpu.xsave = saved;
        m.cpu.gpr[kRax] = 3;
        const std::vector<std::byte> zeros(kXsaveImage);
        REQUIRE(m.memory->write(Gpa{kData}, zeros).ok());
        if (compact)
            REQUIRE(m.run({0x0f, 0xc7, 0x23}) == Carried::Out);
        else
            REQUIRE(m.run({0x0f, 0xae, 0x23}) == Carried::Out);
        std::fill_n(m.cpu.xsave.begin(), 24, std::byte{0});
        std::fill_n(m.cpu.xsave.begin() + 160, 256, std::byte{0});
        REQUIRE(m.run({0x0f, 0xae, 0x2b}) == Carried::Out);
        REQUIRE(m.cpu.xsave == saved);
        // Only SSE is asked for: x87 stays. Then x87 is in its initial state: FCW is FNINIT's.
        m.cpu.gpr[kRax] = 2;
        REQUIRE(m.run({0x0f, 0xae, 0x2b}) == Carried::Out);
        REQUIRE(m.cpu.xsave == saved);
        m.put(kData + 512, 2);
        m.cpu.gpr[kRax] = 3;
        REQUIRE(m.run({0x0f, 0xae, 0x2b}) == Carried::Out);
        REQUIRE(m.cpu.xsave[0] == std::byte{0x7f});
        REQUIRE(m.cpu.xsave[1] == std::byte{0x03});
        REQUIRE(m.cpu.xsave[512] == std::byte{2});
    }
}

TEST_CASE("XRSTOR refuses an area that is not in order", "[assist]") {
    Machine m;
    const std::initializer_list<std::uint8_t> xrstor = {0x0f, 0xae, 0x2b};
    m.cpu.gpr[kRax] = 7;
    REQUIRE(m.run(xrstor) == Carried::Out);
    struct Bad {
        std::uint64_t at;
        std::uint64_t value;
    };
    const auto bad =
        GENERATE(Bad{512, 1ull << 62},              // XSTATE_BV: a bit that XCR0 has not
                 Bad{520, 1},                       // XCOMP_BV without the bit that makes it one
                 Bad{520, 1ull << 63 | 1ull << 62}, // compacted, with a component that XCR0 has not
                 Bad{528, 1},                       // reserved
                 Bad{24, 0x10000});                 // MXCSR
    m.put(kData + bad.at, bad.value);
    m.check_raises(xrstor, exception::kGeneralProtection);
}

TEST_CASE("XSAVE's conditions", "[assist]") {
    Machine m;
    const std::initializer_list<std::uint8_t> xsave = {0x0f, 0xae, 0x23};
    m.cpu.gpr[kRbx] = kData + 32;
    m.check_raises(xsave, exception::kGeneralProtection);
    m.cpu.gpr[kRbx] = kReadOnly;
    m.check_raises(xsave, page_fault(3));
    m.cpu.gpr[kRbx] = kData;
    m.cpu.cr0 |= cr0::kTs;
    m.check_raises(xsave, exception::kDeviceNotAvailable);
    m.cpu.cr4 = 0;
    m.check_raises(xsave, exception::kInvalidOpcode);
    Machine user;
    user.cpu.cpl = 3;
    user.cpu.gpr[kRbx] = kUserPage;
    user.check_raises({0x0f, 0xc7, 0x2b}, exception::kGeneralProtection); // xsaves
    user.check_raises({0x0f, 0xc7, 0x1b}, exception::kGeneralProtection); // xrstors
}
