// SPDX-License-Identifier: Apache-2.0
//
// The guest's clocks: the "timer" record (QEMU 7.2 softmmu/cpu-timers.c), whose offset is the virtual clock
// of a paused machine, and "kvmclock" (hw/i386/kvm/clock.c). And "kvm-tpr-opt" (hw/i386/kvmvapic.c), which
// QEMU writes and godwit reads past.
#pragma once

#include "migration/state/schema.h"

#include <array>
#include <optional>

namespace godwit::kvm {

struct TimerState {
    std::int64_t cpu_ticks_offset = 0;
    std::int64_t cpu_clock_offset = 0; // ns that the guest has run
    bool operator==(const TimerState&) const = default;
};

struct ClockReliability {
    bool clock_is_reliable = false;
    bool operator==(const ClockReliability&) const = default;
};
struct KvmClockState {
    std::uint64_t clock = 0; // ns, as KVM_GET_CLOCK gives it
    std::optional<ClockReliability> reliability;
    bool operator==(const KvmClockState&) const = default;
};

struct TprHelperState {
    std::array<std::uint32_t, 29> rom{}; // addresses and handlers of an option ROM
    std::uint32_t state = 0;             // 0: not in use
    std::array<std::uint32_t, 4> addresses{};
    bool operator==(const TprHelperState&) const = default;
};

} // namespace godwit::kvm

namespace godwit {

template <>
struct Schema<kvm::TimerState> {
    using S = kvm::TimerState;
    static constexpr std::string_view name = "timer";
    static constexpr std::uint32_t version = 2, minimum_version = 1;
    static constexpr std::tuple fields{Field{"cpu_ticks_offset", &S::cpu_ticks_offset}, Unused{"unused", 8},
                                       Field{"cpu_clock_offset", &S::cpu_clock_offset, 2}};
    static Status validate(const S& state) {
        // A century: keeps every later sum of times in range.
        constexpr std::int64_t kMaximum = std::int64_t{100} * 366 * 24 * 3600 * 1'000'000'000;
        if (state.cpu_clock_offset < 0 || state.cpu_clock_offset > kMaximum)
            return corrupt("virtual clock {} ns", state.cpu_clock_offset);
        return {};
    }
};
static_assert(schema_is_complete<kvm::TimerState>());

template <>
struct Schema<kvm::ClockReliability> {
    using S = kvm::ClockReliability;
    static constexpr std::string_view name = "kvmclock/clock_is_reliable";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"clock_is_reliable", &S::clock_is_reliable}};
};
static_assert(schema_is_complete<kvm::ClockReliability>());

template <>
struct Schema<kvm::KvmClockState> {
    using S = kvm::KvmClockState;
    static constexpr std::string_view name = "kvmclock";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"clock", &S::clock}};
    static constexpr std::tuple subsections{Subsection{&S::reliability}};
    static Status validate(const S& state) {
        if (state.clock >> 63 != 0)
            return corrupt("clock {:#x}", state.clock);
        return {};
    }
};
static_assert(schema_is_complete<kvm::KvmClockState>());

template <>
struct Schema<kvm::TprHelperState> {
    using S = kvm::TprHelperState;
    static constexpr std::string_view name = "kvm-tpr-opt";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Unused{"unused", 8}, Field{"rom_state", &S::rom},
                                       Field{"state", &S::state}, Field{"addresses", &S::addresses}};
    static Status validate(const S& state) {
        if (state.state != 0)
            return error(ErrorCode::Incompatible, "the guest uses QEMU's TPR patching, which is not here");
        return {};
    }
};
static_assert(schema_is_complete<kvm::TprHelperState>());

} // namespace godwit
