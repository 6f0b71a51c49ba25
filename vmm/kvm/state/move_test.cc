// SPDX-License-Identifier: Apache-2.0
//
// Guests that move from one VM to another through the sections, on the real KVM.
#include "vmm/kvm/ioctl.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/msr_index.h"
#include "vmm/kvm/state/apic_state.h"
#include "vmm/kvm/state/cpu_schema.h"
#include "vmm/kvm/state/move_guest.h"

using namespace godwit;
using namespace godwit::kvm;

namespace {

// xor eax,eax; 1: inc eax; out 0x10,eax; jmp 1b
constexpr std::uint8_t kCount[] = {0x31, 0xc0, 0x40, 0xe7, 0x10, 0xeb, 0xfb};

} // namespace

TEST_CASE("a counter goes on in another VM, many times over", "[kvm][move]") {
    auto guest = std::make_unique<TestGuest>(kCount);
    guest->vcpus->resume();
    guest->ports.wait_for_writes(5);
    std::uint64_t last = 0;
    for (int hop = 0; hop < 20; ++hop) {
        guest->vcpus->pause();
        for (const auto& access : guest->ports.writes())
            REQUIRE(access.value == ++last);
        auto sections = all_sections(*guest);
        const auto records = save(sections);
        auto next = std::make_unique<TestGuest>(kCount);
        copy_ram(*guest, *next);
        auto incoming = all_sections(*next);
        must(load(incoming, records));
        sections.clear();
        incoming.clear();
        guest = std::move(next);
        guest->vcpus->resume();
        guest->ports.wait_for_writes(5);
    }
}

TEST_CASE("what was loaded saves as the same bytes", "[kvm][move]") {
    TestGuest guest{kCount, 2};
    guest.vcpus->resume();
    guest.ports.wait_for_writes(5);
    guest.vcpus->pause();
    auto sections = all_sections(guest);
    const auto records = save(sections);
    REQUIRE(records.size() >= 9);
    TestGuest other{kCount, 2};
    copy_ram(guest, other);
    auto incoming = all_sections(other);
    must(load(incoming, records));
    const auto again = save(incoming);
    REQUIRE(again.size() == records.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
        INFO(records[i].id.name << " " << records[i].id.instance);
        if (records[i].id.name != "cpu") {
            REQUIRE(again[i].bytes == records[i].bytes);
            continue;
        }
        auto before = parsed<CpuState>(records[i]);
        const auto after = parsed<CpuState>(again[i]);
        before.tsc = after.tsc; // it runs
        REQUIRE(after == before);
    }
    // In place, too.
    must(load(sections, records));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(20);
}

TEST_CASE("registers that tests can set all arrive", "[kvm][move]") {
    TestGuest guest{kCount};
    const int fd = guest.vcpus->at(0).fd();
    kvm_regs regs{};
    must(KVM_CONTROL(fd, KVM_GET_REGS, &regs));
    regs.r8 = 0x8888;
    regs.r15 = 0xffff'ffff'ffff'ff15;
    regs.rsi = 6;
    must(KVM_CONTROL(fd, KVM_SET_REGS, &regs));
    must(write_msrs(
        fd, std::array{MsrValue{msr::kStar, 0x0023001000000000}, MsrValue{msr::kLstar, 0xffffffff81000000},
                       MsrValue{msr::kKernelGsBase, 0x7fff12345000}, MsrValue{msr::kTscAdjust, 77},
                       MsrValue{msr::mtrr_base(1), 0xc0000000}, MsrValue{msr::mtrr_mask(1), 0x3fc0000800}}));
    kvm_debugregs debug{};
    must(KVM_CONTROL(fd, KVM_GET_DEBUGREGS, &debug));
    debug.db[2] = 0x1234;
    must(KVM_CONTROL(fd, KVM_SET_DEBUGREGS, &debug));
    kvm_vcpu_events events{};
    must(KVM_CONTROL(fd, KVM_GET_VCPU_EVENTS, &events));
    events.nmi.masked = 1;
    events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
    events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
    must(KVM_CONTROL(fd, KVM_SET_VCPU_EVENTS, &events));

    auto sections = all_sections(guest);
    const auto records = save(sections);
    const auto cpu = parsed<CpuState>(find(records, "cpu"));
    REQUIRE(cpu.lstar == 0xffffffff81000000);
    REQUIRE(cpu.tsc_adjust->value == 77);
    REQUIRE((cpu.hflags2 & kHflag2Nmi) != 0);
    REQUIRE(cpu.mcg_cap % 256 == 10);
    (void)find(records, "godwit-cpu");

    TestGuest other{kCount};
    auto incoming = all_sections(other);
    must(load(incoming, records));
    const int to = other.vcpus->at(0).fd();
    kvm_regs got{};
    must(KVM_CONTROL(to, KVM_GET_REGS, &got));
    REQUIRE(std::memcmp(&got, &regs, sizeof got) == 0);
    std::array wanted{MsrValue{msr::kStar}, MsrValue{msr::kLstar}, MsrValue{msr::kKernelGsBase},
                      MsrValue{msr::kTscAdjust}, MsrValue{msr::mtrr_base(1)}};
    must(read_msrs(to, wanted));
    REQUIRE(wanted[0].value == 0x0023001000000000);
    REQUIRE(wanted[1].value == 0xffffffff81000000);
    REQUIRE(wanted[2].value == 0x7fff12345000);
    REQUIRE(wanted[3].value == 77);
    REQUIRE(wanted[4].value == 0xc0000000);
    kvm_vcpu_events arrived{};
    must(KVM_CONTROL(to, KVM_GET_VCPU_EVENTS, &arrived));
    REQUIRE(arrived.nmi.masked == 1);
    // SVM has one shadow for both instructions, and its KVM tells both.
    REQUIRE((arrived.interrupt.shadow & KVM_X86_SHADOW_INT_STI) != 0);
}

TEST_CASE("a register without a field travels beside, and returns to its first value", "[kvm][move]") {
    TestGuest guest{kCount};
    const auto vcpu_msrs = guest.vcpus->at(0).msrs();
    constexpr std::uint32_t kMiscFeatures = 0x140; // CPUID faulting
    if (!vcpu_msrs.has(kMiscFeatures))
        return;
    auto sections = all_sections(guest);
    const auto plain = save(sections);
    REQUIRE(std::ranges::none_of(plain, [](const Record& r) { return r.id.name == "godwit-msrs"; }));
    if (!write_msrs(guest.vcpus->at(0).fd(), std::array{MsrValue{kMiscFeatures, 1}}).ok())
        return;
    const auto records = save(sections);
    REQUIRE(find(records, "godwit-msrs").bytes.size() == 16);
    TestGuest other{kCount};
    auto incoming = all_sections(other);
    must(load(incoming, records));
    std::array got{MsrValue{kMiscFeatures}};
    must(read_msrs(other.vcpus->at(0).fd(), got));
    REQUIRE(got[0].value == 1);
    must(load(incoming, plain));
    must(read_msrs(other.vcpus->at(0).fd(), got));
    REQUIRE(got[0].value == vcpu_msrs.initial(kMiscFeatures));

    // Nothing else may be set this way.
    Record hostile = find(records, "godwit-msrs");
    store_be<std::uint32_t>(std::span{hostile.bytes}.subspan(4), msr::kApicBase);
    REQUIRE_FALSE(load(incoming, {hostile}).ok());
}

TEST_CASE("state that this host cannot hold is refused before anything is applied", "[kvm][move]") {
    TestGuest guest{kCount};
    auto sections = all_sections(guest);
    const auto records = save(sections);
    auto cpu = parsed<CpuState>(find(records, "cpu"));
    const auto with = [&](const CpuState& state) {
        StateWriter writer{"cpu", 12};
        writer.fields(state);
        return Record{find(records, "cpu").id, {writer.bytes().begin(), writer.bytes().end()}};
    };
    SECTION("another TSC rate") {
        cpu.tsc_khz->khz *= 2;
        if (guest.kvm->extension(KVM_CAP_TSC_CONTROL) == 0)
            REQUIRE(load(sections, {with(cpu)}).error().code == ErrorCode::Incompatible);
    }
    SECTION("nearly the same TSC rate") {
        cpu.tsc_khz->khz += cpu.tsc_khz->khz / 10000;
        must(load(sections, {with(cpu)}));
        REQUIRE(guest.vcpus->at(0).tsc_khz() == cpu.tsc_khz->khz);
    }
    SECTION("a register that is not there") {
        cpu.pkrs.emplace().value = 1;
        if (!guest.vcpus->at(0).msrs().has(msr::kPkrs))
            REQUIRE(load(sections, {with(cpu)}).error().code == ErrorCode::Incompatible);
    }
    SECTION("an address that is not canonical") {
        cpu.gdt.base = std::uint64_t{1} << 62;
        REQUIRE(load(sections, {with(cpu)}).error().code == ErrorCode::Corrupt);
    }
}

TEST_CASE("a reset gives the first state back", "[kvm][move]") {
    TestGuest guest{kCount, 2};
    auto sections = all_sections(guest);
    must(guest.vcpus->reset());
    const auto first = save(sections);
    must(set_pvh_entry(guest.vcpus->at(0), kProgram, Gpa{0}));
    guest.vcpus->resume();
    guest.ports.wait_for_writes(50);
    guest.vcpus->pause();
    must(guest.vcpus->reset());
    must(guest.vm->irqs().reset());
    const auto again = save(sections);
    REQUIRE(again.size() == first.size());
    for (std::size_t i = 0; i < first.size(); ++i) {
        INFO(first[i].id.name);
        if (first[i].id.name == "apic") {
            auto before = parsed<ApicState>(first[i]);
            const auto after = parsed<ApicState>(again[i]);
            before.initial_count_load_time = after.initial_count_load_time; // now
            REQUIRE(after == before);
        } else if (first[i].id.name == "cpu") {
            auto before = parsed<CpuState>(first[i]);
            const auto after = parsed<CpuState>(again[i]);
            before.tsc = after.tsc;
            REQUIRE(after == before);
        } else if (first[i].id.name == "ioapic") {
            REQUIRE(again[i].bytes == first[i].bytes);
        }
    }
}
