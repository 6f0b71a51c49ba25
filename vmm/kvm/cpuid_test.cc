// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/cpuid.h"

#include <catch2/catch.hpp>

using namespace godwit::kvm;

namespace {

CpuidTable intel() {
    return {{0, 0, false, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69},
            {1, 0, false, 0x50654, 0x00000800, 0x80200000, 0x0f8bfbff},
            {4, 0, true, 0x00000121, 0x01c0003f, 0x3f, 0},
            {4, 3, true, 0x00004163, 0x02c0003f, 0x3fff, 0},
            {4, 4, true, 0, 0, 0, 0},
            {0xb, 0, true, 0, 0, 0, 0},
            {0xb, 1, true, 0, 0, 1, 0},
            {0x40000000, 0, false, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d},
            {0x80000001, 0, false, 0, 0, 0x121, 0x2c100800},
            {0x80000008, 0, false, 0x302e, 0, 0, 0}};
}

CpuidTable amd() {
    CpuidTable table = intel();
    find_leaf(table, 0)->ebx = 0x68747541;
    find_leaf(table, 0)->eax = 0x10;
    std::erase_if(table, [](const CpuidEntry& entry) { return entry.function == 4; });
    find_leaf(table, 0x80000001)->ecx |= 1u << 22; // topology extensions
    table.push_back({0x8000001d, 0, true, 0x121, 0x01c0003f, 0x3f, 0});
    table.push_back({0x8000001d, 3, true, 0x4163, 0x03c0003f, 0x7fff, 1});
    table.push_back({0x8000001e, 0, false, 0xff, 0xff, 0xff, 0xff});
    return table;
}

} // namespace

TEST_CASE("each vCPU has its own APIC id wherever CPUID tells it", "[cpuid]") {
    const CpuidTable table = cpuid_for(intel(), {2, 3, 2'500'000});
    REQUIRE(find_leaf(table, 1)->ebx == 0x02030800);
    REQUIRE((find_leaf(table, 1)->edx & (1u << 28)) != 0);
    for (const std::uint32_t leaf : {0xbu, 0x1fu}) {
        REQUIRE(*find_leaf(table, leaf, 0) == CpuidEntry{leaf, 0, true, 0, 1, 0x100, 2});
        REQUIRE(*find_leaf(table, leaf, 1) == CpuidEntry{leaf, 1, true, 2, 3, 0x201, 2});
        REQUIRE(*find_leaf(table, leaf, 2) == CpuidEntry{leaf, 2, true, 0, 0, 2, 2});
        REQUIRE(find_leaf(table, leaf, 3) == nullptr);
    }
}

TEST_CASE("caches are a core's own, but the last level", "[cpuid]") {
    const CpuidTable table = cpuid_for(intel(), {0, 4, 1});
    REQUIRE(find_leaf(table, 4, 0)->eax == (0x121u | 3u << 26));
    REQUIRE(find_leaf(table, 4, 3)->eax == (0x163u | 3u << 14 | 3u << 26));
    REQUIRE(find_leaf(table, 4, 4)->eax == 0);
    const CpuidTable other = cpuid_for(amd(), {0, 4, 1});
    REQUIRE(find_leaf(other, 0x8000001d, 0)->eax == 0x121);
    REQUIRE(find_leaf(other, 0x8000001d, 3)->eax == (0x163u | 3u << 14));
}

TEST_CASE("the clock rates are told", "[cpuid]") {
    const CpuidTable table = cpuid_for(intel(), {0, 1, 2'500'000});
    REQUIRE(find_leaf(table, 0x40000000)->eax == 0x40000010);
    REQUIRE(*find_leaf(table, 0x40000010) == CpuidEntry{0x40000010, 0, false, 2'500'000, 1'000'000, 0, 0});
    REQUIRE(find_leaf(cpuid_for(table, {0, 1, 7}), 0x40000010)->eax == 7);
}

TEST_CASE("AMD's own topology leaves", "[cpuid]") {
    const CpuidTable table = cpuid_for(amd(), {5, 6, 1});
    REQUIRE((find_leaf(table, 0x80000001)->ecx & 2) != 0);
    REQUIRE(find_leaf(table, 0x80000008)->ecx == 0x3005);
    REQUIRE(*find_leaf(table, 0x8000001e) == CpuidEntry{0x8000001e, 0, false, 5, 5, 0, 0});
    REQUIRE(find_leaf(table, 0x1f) == nullptr); // beyond the last basic leaf
    const CpuidTable single = cpuid_for(amd(), {0, 1, 1});
    REQUIRE((find_leaf(single, 0x80000001)->ecx & 2) == 0);
    REQUIRE((find_leaf(single, 1)->edx & (1u << 28)) == 0);
    // Reserved on Intel.
    REQUIRE(find_leaf(cpuid_for(intel(), {5, 6, 1}), 0x80000008)->ecx == 0);
}
