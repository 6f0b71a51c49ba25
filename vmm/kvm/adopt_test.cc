// SPDX-License-Identifier: Apache-2.0
//
// A vCPU gets the processor of a guest that comes from elsewhere.
#include "vmm/cpu/portability.h"
#include "vmm/kvm/host_model.h"
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/msrs.h"
#include "vmm/kvm/test_guest.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::kvm;

namespace {

constexpr std::uint8_t kHalt[] = {0xf4};
constexpr std::uint32_t kBiosSignId = 0x8b, kPlatformInfo = 0xce;
constexpr std::uint32_t kFrequencyLeaf = 0x40000010;

// What KVM has, not what we believe that it has.
CpuidEntry in_kvm(const Vcpu& vcpu, std::uint32_t function) {
    Counted<kvm_cpuid2, kvm_cpuid_entry2> list{256};
    list.header()->nent = 256;
    must(KVM_CONTROL(vcpu.fd(), KVM_GET_CPUID2, list.header()));
    for (std::size_t i = 0; i < list.header()->nent; ++i)
        if (const kvm_cpuid_entry2& entry = list.data()[i]; entry.function == function && entry.index == 0)
            return {function, 0, false, entry.eax, entry.ebx, entry.ecx, entry.edx};
    return {};
}

std::uint64_t register_of(const Vcpu& vcpu, std::uint32_t index) {
    std::vector<MsrValue> values{{index, 0}};
    must(read_msrs(vcpu.fd(), values));
    return values[0].value;
}

cpu::CpuModel with(cpu::CpuModel model, std::uint32_t index, std::uint64_t value) {
    for (MsrValue& msr : model.msrs)
        if (msr.index == index)
            msr.value = value;
    return model;
}

} // namespace

TEST_CASE("every vCPU gets the processor, in KVM and as the next host is told", "[kvm]") {
    TestGuest guest{kHalt, 2};
    const cpu::CpuModel host = must(host_cpu_model(*guest.kvm));
    REQUIRE(guest.vcpus->at(0).cpu_model().msrs == host.msrs);
    REQUIRE(cpu::obstacles(guest.vcpus->at(0).cpu_model(), host).empty());

    cpu::CpuModel model = with(cpu::baseline(host), kBiosSignId, 0x1234'0000'0000);
    find_leaf(model.cpuid, 1)->eax ^= 1;
    must(guest.vcpus->adopt_cpu(model));
    for (std::uint32_t i = 0; i < 2; ++i) {
        const Vcpu& vcpu = guest.vcpus->at(i);
        REQUIRE(in_kvm(vcpu, 1).eax == find_leaf(model.cpuid, 1)->eax);
        REQUIRE(in_kvm(vcpu, 1).ebx >> 24 == i); // its own APIC id
        REQUIRE(in_kvm(vcpu, 0x80000008).eax == find_leaf(model.cpuid, 0x80000008)->eax);
        REQUIRE(register_of(vcpu, kBiosSignId) == 0x1234'0000'0000);
        REQUIRE(register_of(vcpu, kPlatformInfo) == 0);
    }
    // Moved on: equal there.
    const cpu::CpuModel moved = guest.vcpus->at(0).cpu_model();
    TestGuest next{kHalt, 2};
    must(next.vcpus->adopt_cpu(moved));
    REQUIRE(next.vcpus->at(0).cpu_model().msrs == moved.msrs);
    REQUIRE(in_kvm(next.vcpus->at(1), 1) == in_kvm(guest.vcpus->at(1), 1));
    // The registers are the vCPU's first values there: a reset does not bring the host's back.
    must(next.vcpus->reset());
    REQUIRE(register_of(next.vcpus->at(1), kBiosSignId) == 0x1234'0000'0000);
}

TEST_CASE("a guest that did not come leaves nothing of its processor", "[kvm]") {
    TestGuest guest{kHalt};
    const cpu::CpuModel host = must(host_cpu_model(*guest.kvm));
    must(guest.vcpus->adopt_cpu(with(cpu::baseline(host), kBiosSignId, 0x1234'0000'0000)));
    // The next one has nothing to say about registers.
    must(guest.vcpus->adopt_cpu({host.cpuid, {}}));
    REQUIRE(guest.vcpus->at(0).cpu_model().msrs == host.msrs);
    REQUIRE(in_kvm(guest.vcpus->at(0), 0x80000008).eax == find_leaf(host.cpuid, 0x80000008)->eax);
}

TEST_CASE("a guest's model brings the rate of its TSC", "[kvm]") {
    TestGuest guest{kHalt};
    const std::uint32_t here = guest.vcpus->at(0).tsc_khz();
    cpu::CpuModel model = guest.vcpus->at(0).cpu_model();
    // Measured elsewhere: the same rate, a little different.
    find_leaf(model.cpuid, kFrequencyLeaf)->eax = here + here / 10'000;
    must(guest.vcpus->adopt_cpu(model));
    REQUIRE(guest.vcpus->at(0).tsc_khz() == here + here / 10'000);
    REQUIRE(in_kvm(guest.vcpus->at(0), kFrequencyLeaf).eax == here + here / 10'000);

    find_leaf(model.cpuid, kFrequencyLeaf)->eax = here / 2;
    const Status half = guest.vcpus->adopt_cpu(model);
    if (guest.vcpus->at(0).can_adopt_tsc_khz(here / 2)) {
        must(half);
        REQUIRE(in_kvm(guest.vcpus->at(0), kFrequencyLeaf).eax == here / 2);
    } else {
        REQUIRE(half.error().code == ErrorCode::Incompatible);
    }
    // A model that says nothing of it runs at this host's.
    must(guest.vcpus->adopt_cpu(must(host_cpu_model(*guest.kvm))));
    REQUIRE(guest.vcpus->at(0).tsc_khz() == here);
    REQUIRE(KVM_CONTROL(guest.vcpus->at(0).fd(), KVM_GET_TSC_KHZ).value() == static_cast<int>(here));
}

TEST_CASE("a vCPU that has run keeps its processor", "[kvm]") {
    // out 0x10, al; hlt
    constexpr std::uint8_t program[] = {0xe6, 0x10, 0xf4};
    TestGuest guest{program};
    const cpu::CpuModel less = cpu::baseline(must(host_cpu_model(*guest.kvm)));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(1);
    guest.vcpus->pause();
    REQUIRE_FALSE(guest.vcpus->adopt_cpu(less).ok());
}
