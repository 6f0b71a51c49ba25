// SPDX-License-Identifier: Apache-2.0
//
// The records without KVM: sizes, truncation, every field, hostile values.
#include "vmm/kvm/state/apic_state.h"
#include "vmm/kvm/state/clock_state.h"
#include "vmm/kvm/state/extra_state.h"
#include "vmm/kvm/state/ioapic_state.h"
#include "vmm/kvm/state/sample_cpu.h"

#include "migration/state/reader.h"
#include "migration/state/writer.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::kvm;

namespace {

template <class S>
std::vector<std::byte> saved(const S& state) {
    StateWriter writer{Schema<S>::name, Schema<S>::version};
    writer.fields(state);
    return {writer.bytes().begin(), writer.bytes().end()};
}

template <class S>
Status load(std::span<const std::byte> bytes, S& out, std::uint32_t version = Schema<S>::version) {
    ByteReader in{bytes};
    StateReader reader{in, Schema<S>::name};
    TRY(reader.fields(out, version));
    if (!in.at_end())
        return corrupt("{} bytes left", in.remaining());
    return {};
}

template <class S>
void check_record(const S& state, std::size_t size) {
    const auto bytes = saved(state);
    REQUIRE(bytes.size() == size);
    S loaded;
    const auto status = load(bytes, loaded);
    INFO((status.ok() ? std::string{} : status.error().text));
    REQUIRE(status.ok());
    REQUIRE(loaded == state);
    REQUIRE(saved(loaded) == bytes);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        S part;
        // A record may end where a subsection would begin.
        if (const auto cut = load(std::span{bytes}.first(length), part); cut.ok())
            REQUIRE(saved(part) ==
                    std::vector(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
    }
}

// Changes one element at a time, each of every field; the bytes must differ, and come back when it does.
template <class S, class M>
void change(S& state, M& member, std::span<const std::byte> before) {
    if constexpr (std::integral<M>) {
        const M kept = member;
        member = static_cast<M>(member ^ M{1});
        REQUIRE_FALSE(std::ranges::equal(saved(state), before));
        member = kept;
    } else if constexpr (is_std_array<M>) {
        for (auto& element : member)
            change(state, element, before);
    } else if constexpr (HasSchema<M>) {
        std::apply([&](const auto&... field) { (change(state, member.*(field.at), before), ...); },
                   Schema<M>::fields);
    }
}

template <class S>
void change_every_field(S state) {
    const auto before = saved(state);
    const auto one = [&](const auto& field) {
        if constexpr (requires { field.at; })
            change(state, state.*(field.at), before);
    };
    std::apply([&](const auto&... field) { (one(field), ...); }, Schema<S>::fields);
    std::apply(
        [&](const auto&... sub) {
            [[maybe_unused]] const auto flip = [&](auto& optional) {
                REQUIRE(optional.has_value());
                using Sub = typename std::remove_reference_t<decltype(optional)>::value_type;
                std::apply(
                    [&](const auto&... field) { (change(state, (*optional).*(field.at), before), ...); },
                    Schema<Sub>::fields);
                auto kept = optional;
                optional.reset();
                REQUIRE_FALSE(std::ranges::equal(saved(state), before));
                optional = kept;
            };
            (flip(state.*(sub.at)), ...);
        },
        subsections_of<S>());
    REQUIRE(std::ranges::equal(saved(state), before));
}

Status checked(const CpuState& state) {
    CpuState loaded;
    return load(saved(state), loaded);
}
Status checked(const ApicState& state) {
    ApicState loaded;
    return load(saved(state), loaded);
}

} // namespace

TEST_CASE("cpu: the fixed part is QEMU's 1817 bytes", "[state][cpu]") {
    check_record(sample_cpu(), 1817);
    REQUIRE(saved(CpuState{}).size() == 1817);
}

TEST_CASE("cpu: with every subsection", "[state][cpu]") {
    const CpuState state = full_cpu();
    std::size_t size = 1817;
    const auto header = [](std::string_view name) { return 1 + 1 + name.size() + 4; };
    each_extra(state, [&]<class Extra>(const std::optional<Extra>&) {
        size += header(info(Extra::kExtra).name) + sizeof(Extra::value);
    });
    size += header("cpu/fpop_ip_dp") + 18 + header("cpu/mpx") + 88 + header("cpu/avx512") + 64 + 16 * 32 +
            16 * 64 + header("cpu/tsc_khz") + 8 + header("cpu/pkru") + 4 + header("cpu/pdptrs") + 32 +
            header("cpu/triple_fault") + 1;
    check_record(state, size);
    change_every_field(state);
}

TEST_CASE("cpu: places of fields that neighbours could hide", "[state][cpu]") {
    const auto bytes = saved(sample_cpu());
    const CpuState s = sample_cpu();
    const auto be64 = [&](std::size_t at) { return load_be<std::uint64_t>(std::span{bytes}.subspan(at, 8)); };
    const auto be32 = [&](std::size_t at) { return load_be<std::uint32_t>(std::span{bytes}.subspan(at, 4)); };
    REQUIRE(be64(8) == s.regs[1]);
    REQUIRE(be64(128) == s.eip);
    REQUIRE(be64(156) == s.fpregs[0].mantissa);
    REQUIRE(be32(236 + 20) == s.segs[kCs].selector);
    REQUIRE(be64(356 + 3 * 20 + 4) == s.idt.base);
    REQUIRE(be64(456) == s.cr0);
    REQUIRE(be32(556) == s.mxcsr);
    REQUIRE(be64(816) == s.efer);
    REQUIRE(be64(868) == s.pat);
    REQUIRE(be64(1013) == s.mtrr_deftype);
    REQUIRE(be32(1153) == s.mp_state);
    REQUIRE(be64(1157) == s.tsc);
    REQUIRE(be64(1521) == s.tsc_aux);
    REQUIRE(be64(1545) == s.xcr0);
}

TEST_CASE("cpu: an older record has no XSAVE fields", "[state][cpu]") {
    const auto bytes = saved(sample_cpu());
    CpuState loaded;
    REQUIRE(load(std::span{bytes}.first(1545), loaded, 11).ok());
    REQUIRE(loaded.xcr0 == 1);
    REQUIRE(loaded.xstate_bv == 3);
}

TEST_CASE("cpu: hostile values are refused", "[state][cpu]") {
    CpuState s = sample_cpu();
    SECTION("x87 format") {
        s.fpregs_format = 1;
    }
    SECTION("x87 tags") {
        s.fptag = 0x100;
    }
    SECTION("mxcsr") {
        s.mxcsr = 0x10000;
    }
    SECTION("eflags") {
        s.eflags |= 1 << 15;
    }
    SECTION("dr7") {
        s.dr[7] = std::uint64_t{1} << 32;
    }
    SECTION("cr0") {
        s.cr0 |= std::uint64_t{1} << 32;
    }
    SECTION("paging without protection") {
        s.cr0 &= ~std::uint64_t{1};
    }
    SECTION("long mode without paging") {
        s.cr0 &= 0x7fffffff;
    }
    SECTION("long mode without PAE") {
        s.cr4 = 0;
    }
    SECTION("a 64-bit segment outside long mode") {
        s.efer = 0, s.cr0 &= 0x7fffffff;
    }
    SECTION("interrupt vector") {
        s.interrupt_injected = 256;
    }
    SECTION("interrupt vector below") {
        s.interrupt_injected = -2;
    }
    SECTION("exception vector") {
        s.exception_nr = 32;
    }
    SECTION("NMI is not an exception") {
        s.exception_nr = 2;
    }
    SECTION("mp_state") {
        s.mp_state = 5;
    }
    SECTION("start-up vector") {
        s.sipi_vector = 0x100;
    }
    SECTION("flags") {
        s.nmi_injected = 2;
    }
    SECTION("machine-check banks") {
        s.mcg_cap = 11;
    }
    SECTION("nested guest") {
        s.hflags = kHflagNestedGuest;
    }
    SECTION("xcr0") {
        s.xcr0 = 0;
    }
    SECTION("AMX") {
        s.xstate_bv |= 1 << 18;
    }
    SECTION("a TSC that stands") {
        s.tsc_khz = TscRate{0};
    }
    SECTION("a negative TSC") {
        s.tsc_khz = TscRate{-1};
    }
    SECTION("triple fault") {
        s.triple_fault = TripleFaultState{2};
    }
    REQUIRE_FALSE(checked(s).ok());
}

TEST_CASE("other records have QEMU's sizes", "[state]") {
    check_record(CpuCommonState{1, kPendingSmi}, 8);
    change_every_field(CpuCommonState{});
    CpuCommonState halted{2, 0};
    CpuCommonState loaded;
    REQUIRE_FALSE(load(saved(halted), loaded).ok());

    IoApicState ioapic{3, 0x10, 0x800000, {}};
    for (std::size_t pin = 0; pin < kIoApicPins; ++pin)
        ioapic.ioredtbl[pin] = 0x0100000000010030 + pin;
    check_record(ioapic, 206);
    change_every_field(ioapic);
    ioapic.irr = 1 << 24;
    IoApicState bad;
    REQUIRE_FALSE(load(saved(ioapic), bad).ok());

    check_record(KvmClockState{12345, ClockReliability{true}}, 41);
    change_every_field(KvmClockState{12345, ClockReliability{true}});
    check_record(TimerState{7, 8}, 24);
    change_every_field(TimerState{7, 8});
    TimerState negative{0, -1};
    TimerState timer;
    REQUIRE_FALSE(load(saved(negative), timer).ok());
    check_record(TprHelperState{}, 144);
    TprHelperState active;
    active.state = 1;
    TprHelperState helper;
    REQUIRE(load(saved(active), helper).error().code == ErrorCode::Incompatible);
    check_record(CpuRemainder{1, 0x15}, 5);
    change_every_field(CpuRemainder{1, 0x15});
    check_record(UnnamedMsrs{1, {std::vector<std::byte>(12, std::byte{3})}}, 16);
    const std::uint8_t too_many[] = {0, 0, 1, 1};
    UnnamedMsrs msrs;
    REQUIRE_FALSE(load(std::as_bytes(std::span{too_many}), msrs).ok());
}

TEST_CASE("apic: 181 bytes, every field, hostile values", "[state][apic]") {
    ApicState s;
    s.apicbase = 0xfee00900;
    s.id = 1;
    s.arb_id = 2;
    s.tpr = 0x10;
    s.spurious_vec = 0x1ff;
    s.log_dest = 1;
    s.dest_mode = 0xf;
    s.isr[1] = s.tmr[2] = s.irr[3] = 0x80;
    s.lvt = {0x20030, 0x10000, 0x10000, 0x700, 0x400, 0xfe};
    s.icr = {0x4500, 0x01000000};
    s.divide_conf = 0xb;
    s.initial_count = 1000;
    check_record(s, 181);
    s.sipi = ApicSipiState{};
    check_record(s, 181 + 2 + 9 + 4 + 8);
    change_every_field(s);
    SECTION("base") {
        s.apicbase |= 1;
    }
    SECTION("x2APIC without enable") {
        s.apicbase = 0xfee00400;
    }
    SECTION("spurious vector") {
        s.spurious_vec = 0x10000;
    }
    SECTION("destination format") {
        s.dest_mode = 0x10;
    }
    SECTION("timer mode") {
        s.lvt[0] = 0x60000;
    }
    SECTION("vector table") {
        s.lvt[5] = 0x100;
    }
    SECTION("divider") {
        s.divide_conf = 4;
    }
    SECTION("shift") {
        s.count_shift = 8;
    }
    SECTION("negative shift") {
        s.count_shift = -1;
    }
    REQUIRE_FALSE(checked(s).ok());
}

TEST_CASE("apic: a timer keeps its count on the way", "[state][apic]") {
    ApicState s;
    s.divide_conf = 0x3; // by 16
    s.initial_count = 1000;
    constexpr std::int64_t now = 50;
    SECTION("one-shot") {
        for (const std::uint32_t left : {1000u, 999u, 1u}) {
            encode_timer(s, left, now);
            REQUIRE(s.count_shift == 4);
            REQUIRE(s.timer_expiry == now + 16 * std::int64_t{left});
            REQUIRE(decode_timer(s, now) == left);
        }
        REQUIRE(decode_timer(s, now + 15) == 1);
        REQUIRE(decode_timer(s, now + 16) == 0);
    }
    SECTION("one-shot that has fired") {
        encode_timer(s, 0, now);
        REQUIRE(s.timer_expiry == -1);
        REQUIRE(decode_timer(s, now) == 0);
    }
    SECTION("periodic") {
        s.lvt[0] = 0x20030;
        encode_timer(s, 300, now);
        REQUIRE(decode_timer(s, now) == 300);
        REQUIRE(decode_timer(s, now + 16 * 299) == 1);
        REQUIRE(decode_timer(s, now + 16 * 300) == 1000);
    }
    SECTION("not running") {
        s.initial_count = 0;
        encode_timer(s, 0, now);
        REQUIRE(s.timer_expiry == -1);
        REQUIRE(decode_timer(s, now) == 0);
    }
    SECTION("a QEMU under KVM sends the time of saving: the timer starts anew") {
        s.initial_count_load_time = now;
        REQUIRE(decode_timer(s, now) == 1000);
    }
    SECTION("times out of reach do not overflow") {
        s.initial_count_load_time = std::numeric_limits<std::int64_t>::min();
        (void)decode_timer(s, std::numeric_limits<std::int64_t>::max());
        s.initial_count_load_time = std::numeric_limits<std::int64_t>::max();
        REQUIRE(decode_timer(s, 0) == 1000);
    }
}
