// SPDX-License-Identifier: Apache-2.0
//
// The conversions between KVM's structs and the records, both ways, without KVM.
#include "vmm/kvm/state/apic_section.h"
#include "vmm/kvm/state/cpu_convert.h"
#include "vmm/kvm/state/sample_cpu.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::kvm;

TEST_CASE("a KVM image becomes a record and comes back", "[state][cpu]") {
    // Every register that a record names, and the AMD layout of the XSAVE area.
    VcpuImage blank;
    for (const std::uint32_t index : all_msr_indices(std::vector<std::uint32_t>{
             0x10,       0x34,       0x3b,       0x174,      0x175,      0x176,      0x1a0,      0x277,
             0x6e0,      0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06,
             0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0010117, 0xc001011f}))
        blank.msrs.push_back({index, index == msr::kMcgCap ? 0x100010au : 0u});
    blank.xcr0 = 1;
    blank.pdptrs.emplace();
    blank.events.flags = KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
    ConvertContext context;
    context.xsave = {{0, 0, 576, 960, 1024, 1088, 1152, 1664, 0, 2688}, 0x2ff};
    context.physical_bits = 46;
    context.tsc_khz = 2'000'000;

    CpuState state = full_cpu();
    state.interrupt_injected = 0x31;
    state.exception_nr = 14;
    state.has_error_code = 1;
    state.nmi_pending = 1;
    state.mp_state = KVM_MP_STATE_HALTED;
    for (auto& range : state.mtrr_var)
        range.mask = (range.mask & 0x3fffffffffff) | 0xfc00000000000; // bits 46 to 51, as a sender sets them
    VcpuImage image = blank;
    const auto status = to_image(state, kPendingInit, context, image);
    INFO((status.ok() ? std::string{} : status.error().text));
    REQUIRE(status.ok());
    CpuState back = to_cpu_state(image, context);
    state.hflags = back.hflags;                // derived
    REQUIRE((back.hflags & 0xc083) == 0xc080); // protected, long mode, 64-bit code, CPL 0
    REQUIRE(back == state);
    const CpuCommonState common = to_common_state(image);
    REQUIRE(common.halted == 1);
    REQUIRE(common.interrupt_request == kPendingInit);
    REQUIRE((image.events.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) == 0);

    SECTION("an address that is not canonical") {
        state.lstar = std::uint64_t{1} << 47;
        REQUIRE_FALSE(to_image(state, 0, context, image).ok());
        context.linear_bits = 57;
        REQUIRE(to_image(state, 0, context, image).ok());
    }
    SECTION("a component that this vCPU lacks") {
        context.xsave.supported = 7;
        const auto refused = to_image(state, 0, context, image);
        REQUIRE(refused.error().code == ErrorCode::Incompatible);
    }
    SECTION("a register that this vCPU lacks") {
        std::erase_if(blank.msrs, [](const MsrValue& entry) { return entry.index == msr::kSpecCtrl; });
        REQUIRE(to_image(state, 0, context, blank).error().text.find("0x48") != std::string::npos);
        state.spec_ctrl.reset();
        REQUIRE(to_image(state, 0, context, blank).ok());
    }
    SECTION("absent subsections stand for their defaults") {
        state = sample_cpu();
        REQUIRE(to_image(state, 0, context, image).ok());
        REQUIRE(image.msr(msr::kMiscEnable) == 1);
        REQUIRE(image.msr(msr::kKvmPollControl) == 1);
        REQUIRE(image.msr(msr::kTscDeadline) == 0);
        REQUIRE_FALSE(image.pdptrs.has_value());
        REQUIRE_FALSE(to_cpu_state(image, context).avx512.has_value());
    }
}

TEST_CASE("registers with a field are not carried twice", "[state][cpu]") {
    for (const std::uint32_t named :
         {0x10u, 0x1bu, 0x174u, 0x200u, 0x20fu, 0x250u, 0x2ffu, 0x400u, 0x427u, 0x6e0u, 0x12u, 0x4b564d01u,
          0x4b564d07u, 0x40000000u, 0xc0000080u, 0xc0000103u, 0x48u})
        REQUIRE_FALSE(is_unnamed_msr(named));
    for (const std::uint32_t unnamed : {0x140u, 0x1d9u, 0xc0010015u, 0x1fcu})
        REQUIRE(is_unnamed_msr(unnamed));
}

TEST_CASE("apic: KVM's page becomes a record and comes back", "[state][apic]") {
    kvm_lapic_state page{};
    const auto put = [&](std::size_t at, std::uint32_t value) { std::memcpy(page.regs + at, &value, 4); };
    put(0x20, 0x03000000);
    put(0x30, 0x50014);
    put(0x80, 0x42);
    put(0xd0, 0x08000000);
    put(0xe0, 0xffffffff);
    put(0xf0, 0x1ff);
    for (std::size_t i = 0; i < 8; ++i) {
        put(0x100 + i * 16, static_cast<std::uint32_t>(0x100 + i));
        put(0x180 + i * 16, static_cast<std::uint32_t>(0x200 + i));
        put(0x200 + i * 16, static_cast<std::uint32_t>(0x300 + i));
    }
    put(0x280, 0x20);
    put(0x300, 0x4031);
    put(0x310, 0x02000000);
    for (std::size_t i = 0; i < 6; ++i)
        put(0x320 + i * 16, static_cast<std::uint32_t>(0x10030 + i));
    put(0x320, 0x20030);
    put(0x380, 5000);
    put(0x390, 1234);
    put(0x3e0, 0xa);
    const ApicState state = to_apic_state(page, 0xfee00d00, 1'000'000);
    REQUIRE(state.id == 3);
    REQUIRE(state.apicbase == 0xfee00d00);
    kvm_lapic_state other{};
    const std::uint32_t version = 0x50014;
    std::memcpy(other.regs + 0x30, &version, 4);
    const std::uint32_t id = 0x03000000;
    std::memcpy(other.regs + 0x20, &id, 4);
    const kvm_lapic_state back = to_lapic(state, other, 1'000'000);
    REQUIRE(std::memcmp(&back, &page, sizeof page) == 0);
}
