// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/portability.h"

#include "vmm/cpu/fields.h"
#include "vmm/cpu/sample_models.h"
#include "vmm/cpu/vendor.h"
#include "vmm/cpu/xsave.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>

using namespace godwit;
using namespace godwit::cpu;
using namespace godwit::cpu::test;
using What = Obstacle::Kind;

namespace {

std::vector<std::string> texts(const std::vector<Obstacle>& found) {
    std::vector<std::string> all;
    for (const Obstacle& one : found)
        all.push_back(one.text());
    return all;
}

bool has(const CpuModel& model, std::uint32_t function, std::uint32_t index, Register reg, unsigned bit) {
    const CpuidEntry* const entry = find_leaf(model.cpuid, function, index);
    return entry != nullptr && (entry->*member_of(reg) >> bit & 1) != 0;
}

} // namespace

TEST_CASE("a host gives what it has", "[cpu]") {
    REQUIRE(obstacles(server(), server()).empty());
    REQUIRE(obstacles(small(), small()).empty());
    REQUIRE(vendor_of(server().cpuid) == "GenuineIntel");
    REQUIRE(check_can_give(server(), server(), "x").ok());
}

TEST_CASE("what a host cannot give is told by name", "[cpu]") {
    struct Case {
        What kind;
        std::string text;
        std::function<void(CpuModel& guest, CpuModel& host)> change;
    };
    const std::vector<Case> cases{
        {What::Vendor, "a processor of 'GenuineIntel', this host's is of 'AuthenticAMD'",
         [](CpuModel&, CpuModel& host) {
             CpuidEntry* const leaf = find_leaf(host.cpuid, 0);
             leaf->ebx = 0x68747541;
             leaf->edx = 0x69746e65;
             leaf->ecx = 0x444d4163;
         }},
        {What::Feature, "avx512f (leaf 0x7 ebx bit 16)",
         [](CpuModel&, CpuModel& host) { find_leaf(host.cpuid, 7)->ebx &= ~(1u << 16); }},
        {What::Feature, "avx512_bf16 (leaf 0x7 subleaf 1 eax bit 5)",
         [](CpuModel&, CpuModel& host) { find_leaf(host.cpuid, 7, 1)->eax &= ~(1u << 5); }},
        {What::Feature, "kvm-pv-send-ipi (leaf 0x40000001 eax bit 11)",
         [](CpuModel&, CpuModel& host) { find_leaf(host.cpuid, 0x40000001)->eax &= ~(1u << 11); }},
        {What::Feature, "leaf 0x80000007 edx bit 31",
         [](CpuModel& guest, CpuModel&) {
             guest.cpuid.push_back({0x80000007, 0, false, 0, 0, 0, 1u << 31});
         }},
        {What::Feature, "xsave-pkru (leaf 0xd eax bit 9)",
         [](CpuModel&, CpuModel& host) { find_leaf(host.cpuid, 0xd)->eax &= ~(1u << 9); }},
        {What::LeafDiffers, "leaf 0x23 ebx = 0x7",
         [](CpuModel& guest, CpuModel&) {
             guest.cpuid.push_back({0x23, 0, false, 0, 7, 0, 0});
         }},
        {What::Limit, "the size of a CLFLUSH line in 8 bytes = 16, at most 8",
         [](CpuModel& guest, CpuModel&) { find_leaf(guest.cpuid, 1)->ebx = 0x1000; }},
        {What::AddressWidth, "52 bits of physical addresses, at most 46",
         [](CpuModel& guest, CpuModel&) { find_leaf(guest.cpuid, 0x80000008)->eax = 0x3034; }},
        {What::AddressWidth, "57 bits of linear addresses, at most 48",
         [](CpuModel& guest, CpuModel&) { find_leaf(guest.cpuid, 0x80000008)->eax = 0x392e; }},
        {What::XsaveLayout, "XSAVE component 9 of 8 bytes at 2688, it has 8 at 832",
         [](CpuModel&, CpuModel& host) { find_leaf(host.cpuid, 0xd, 9)->ebx = 832; }},
        {What::MsrMissing, "register IA32_ARCH_CAPABILITIES",
         [](CpuModel&, CpuModel& host) { host.msrs.pop_back(); }},
        {What::MsrBit, "IA32_ARCH_CAPABILITIES bit 0 (rdcl-no) = 1",
         [](CpuModel&, CpuModel& host) { host.msrs[2].value &= ~1ull; }},
        {What::MsrBit, "IA32_ARCH_CAPABILITIES bit 2 (rsba) = 0",
         [](CpuModel&, CpuModel& host) { host.msrs[2].value |= 4; }},
    };
    for (const Case& one : cases) {
        INFO(one.text);
        CpuModel guest = server(), host = server();
        one.change(guest, host);
        const auto found = obstacles(guest, host);
        REQUIRE(texts(found) == std::vector<std::string>{one.text});
        REQUIRE(found[0].kind == one.kind);
    }
}

TEST_CASE("what promises nothing may differ", "[cpu]") {
    CpuModel guest = server();
    find_leaf(guest.cpuid, 0)->eax = 0x16;            // fewer leaves
    find_leaf(guest.cpuid, 1)->eax = 0x806f8;         // another model
    find_leaf(guest.cpuid, 1)->ebx = 0x17080800;      // another place in the package
    find_leaf(guest.cpuid, 1)->ecx |= 1u << 27;       // OSXSAVE follows CR4
    find_leaf(guest.cpuid, 7)->ebx |= 1u << 13;       // one feature of the x87 less
    find_leaf(guest.cpuid, 7)->ebx &= ~(1u << 16);    // a feature less
    find_leaf(guest.cpuid, 4)->eax = 0x163;           // another cache
    find_leaf(guest.cpuid, 0x80000008)->eax = 0x3028; // narrower
    guest.msrs = {{0x8b, 77}, {0x10a, 0x0e}};         // other microcode, fewer immunities, more warnings
    CpuModel host = server();
    host.msrs[2].value = 0xab;
    REQUIRE(texts(obstacles(guest, host)) == std::vector<std::string>{});
}

TEST_CASE("the error lists all of it", "[cpu]") {
    const Status status = check_can_give(server(), small(), "--cpu big.json");
    REQUIRE(status.error().code == ErrorCode::Incompatible);
    const std::string& text = status.error().text;
    REQUIRE(text.starts_with("--cpu big.json: this host cannot give "));
    for (const char* const word : {"avx512f", "avx512vl", "xsave-opmask", "physical addresses", "rdcl-no",
                                   "cpuid-fault", "XSAVE component 9", "rsba"}) {
        INFO(word);
        const bool told = text.find(word) != std::string::npos;
        REQUIRE(told);
    }
}

TEST_CASE("what two hosts have in common, both can give", "[cpu]") {
    for (const auto& [a, b] : {std::pair{server(), small()}, std::pair{small(), server()}}) {
        const CpuModel both = intersect(a, b).value();
        REQUIRE(texts(obstacles(both, a)) == std::vector<std::string>{});
        REQUIRE(texts(obstacles(both, b)) == std::vector<std::string>{});
        REQUIRE(intersect(both, a).value() == both);
        REQUIRE(intersect(both, both).value() == both);
    }
    REQUIRE(intersect(server(), server()).value() == server());
}

TEST_CASE("each field is joined as it is meant", "[cpu]") {
    CpuModel a = server(), b = small();
    find_leaf(a.cpuid, 7)->ebx |= 1u << 13;
    const CpuModel both = intersect(a, b).value();
    // Promises of both, restrictions of either.
    REQUIRE(has(both, 7, 0, Register::Ebx, 5));
    REQUIRE_FALSE(has(both, 7, 0, Register::Ebx, 16));
    REQUIRE(has(both, 7, 0, Register::Ebx, 13));
    // Numbers: the smaller one. Nothing is told beyond the last leaf.
    REQUIRE(find_leaf(both.cpuid, 0)->eax == 0xd);
    REQUIRE(find_leaf(both.cpuid, 0x80000008)->eax == 0x302a);
    // What describes the hardware: the first one's.
    REQUIRE(find_leaf(both.cpuid, 1)->eax == 0x50654);
    // XSAVE: no AVX-512, and protection keys are not at one place; the size follows, and so do the features.
    REQUIRE(xsave_components(both.cpuid) == 7);
    REQUIRE(find_leaf(both.cpuid, 0xd, 9) == nullptr);
    REQUIRE(find_leaf(both.cpuid, 0xd)->ecx == 0x340);
    REQUIRE_FALSE(has(both, 7, 0, Register::Ecx, 3));
    // Registers: immunities of both, warnings of either.
    REQUIRE(both.msrs == std::vector<MsrValue>{{0x8b, 0x100000000}, {0xce, 0}, {0x10a, 0x0c}});
}

TEST_CASE("what is unknown is kept only where it is the same", "[cpu]") {
    CpuModel a = server(), b = server();
    a.cpuid.push_back({0x1a, 0, false, 0x5, 0x9, 0, 0});
    b.cpuid.push_back({0x1a, 0, false, 0x7, 0x9, 0, 0});
    const CpuModel both = intersect(a, b).value();
    REQUIRE(*find_leaf(both.cpuid, 0x1a) == CpuidEntry{0x1a, 0, false, 0, 0x9, 0, 0});
}

TEST_CASE("two hosts that differ in what is unknown can both give what they have in common", "[cpu]") {
    CpuModel a = server(), b = server();
    a.cpuid.push_back({0x1a, 0, false, 0x5, 0x9, 0, 0});
    b.cpuid.push_back({0x1a, 0, false, 0x7, 0x9, 0, 0});
    const CpuModel both = intersect(a, b).value();
    REQUIRE(texts(obstacles(both, a)) == std::vector<std::string>{});
    REQUIRE(texts(obstacles(both, b)) == std::vector<std::string>{});
    // What a guest was told must read the same.
    REQUIRE(texts(obstacles(a, b)) == std::vector<std::string>{"leaf 0x1a eax = 0x5"});
}

TEST_CASE("vendors have nothing in common", "[cpu]") {
    CpuModel other = server();
    find_leaf(other.cpuid, 0)->ebx = 0;
    REQUIRE(intersect(server(), other).error().text ==
            "processors of 'GenuineIntel' and '????ineIntel' have no model in common");
}

TEST_CASE("without AVX there is nothing that needs its registers", "[cpu]") {
    CpuModel model = server();
    restrict_xsave(model.cpuid, 3);
    REQUIRE(xsave_components(model.cpuid) == 3);
    REQUIRE(find_leaf(model.cpuid, 0xd)->ecx == 576);
    REQUIRE_FALSE(has(model, 1, 0, Register::Ecx, 28));
    REQUIRE_FALSE(has(model, 1, 0, Register::Ecx, 12));
    REQUIRE_FALSE(has(model, 7, 0, Register::Ebx, 5));
    REQUIRE_FALSE(has(model, 7, 0, Register::Ebx, 16));
    REQUIRE(has(model, 7, 0, Register::Ebx, 3)); // BMI1 uses general registers
    // A half of AVX-512 is of no use.
    model = server();
    restrict_xsave(model.cpuid, 0x2a7);
    REQUIRE(xsave_components(model.cpuid) == 0x207);
}

TEST_CASE("the baseline is the same on hosts that have all of it, but for what describes them", "[cpu]") {
    REQUIRE(missing_of_baseline(server()).empty());
    const CpuModel big = baseline(server()), little = baseline(small());
    REQUIRE(obstacles(big, small()).empty());
    REQUIRE(obstacles(little, server()).empty());
    REQUIRE(obstacles(big, little).empty());
    REQUIRE(obstacles(little, big).empty());
    REQUIRE(find_leaf(big.cpuid, 1)->ecx == 0x81b82201);
    REQUIRE(find_leaf(big.cpuid, 7)->ebx == 0);
    REQUIRE(xsave_components(big.cpuid) == 3);
    REQUIRE((find_leaf(big.cpuid, 0x80000008)->eax & 0xff) == 40);
    REQUIRE(big.msrs == std::vector<MsrValue>{{0x8b, 0x100000000}, {0xce, 0}});
    CpuModel old = server();
    find_leaf(old.cpuid, 1)->ecx &= ~(1u << 20 | 1u << 23);
    REQUIRE(missing_of_baseline(old) == std::vector<std::string>{"sse4_2", "popcnt"});
}

TEST_CASE("every field of the table has a meaning of its own", "[cpu]") {
    for (const Field& field : fields())
        REQUIRE(field.mask != 0);
    REQUIRE(kind_of(0x4, 3, Register::Eax, 0) == cpu::Kind::Shown);
    REQUIRE(kind_of(0xd, 0, Register::Eax, 2) == cpu::Kind::Component);
    REQUIRE(kind_of(0xd, 2, Register::Eax, 2) == cpu::Kind::Layout);
    REQUIRE(kind_of(0x23, 0, Register::Eax, 2) == cpu::Kind::Unknown);
    REQUIRE(bit_text(0x80000001, 0, Register::Edx, 29) == "lm (leaf 0x80000001 edx bit 29)");
    REQUIRE(msr_bit_text(0x10a, 62) == "IA32_ARCH_CAPABILITIES bit 62");
}
