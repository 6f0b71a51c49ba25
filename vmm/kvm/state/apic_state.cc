// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/state/apic_state.h"

namespace godwit {

namespace {

// Intel SDM volume 3, section 11.5.1: defined bits of timer, thermal, performance, LINT0, LINT1, error.
constexpr std::array<std::uint32_t, 6> kLvtDefined{0x710ff, 0x117ff, 0x117ff, 0x1f7ff, 0x1f7ff, 0x110ff};
constexpr std::uint32_t kApicBaseReserved = 0x2ff;
constexpr std::uint32_t kSpuriousDefined = 0x13ff;
constexpr std::uint32_t kDivideDefined = 0xb;

// A wire field may hold anything: differences are taken without overflow.
std::uint64_t elapsed_counts(const kvm::ApicState& state, std::int64_t now_ns) {
    if (now_ns <= state.initial_count_load_time)
        return 0;
    const auto elapsed =
        static_cast<std::uint64_t>(now_ns) - static_cast<std::uint64_t>(state.initial_count_load_time);
    return elapsed >> kvm::timer_shift(state.divide_conf);
}

} // namespace

namespace kvm {

void encode_timer(ApicState& state, std::uint32_t current_count, std::int64_t now_ns) {
    state.count_shift = timer_shift(state.divide_conf);
    state.initial_count_load_time = now_ns;
    state.next_time = 0;
    state.timer_expiry = -1;
    const TimerMode mode = timer_mode(state.lvt[0]);
    if (state.initial_count == 0 || mode == TimerMode::TscDeadline)
        return;
    const auto ns = [&](std::uint32_t counts) { return std::int64_t{counts} << state.count_shift; };
    const std::uint32_t left = std::min(current_count, state.initial_count);
    state.initial_count_load_time = now_ns - ns(state.initial_count - left);
    if (left == 0 && mode == TimerMode::OneShot)
        return;
    state.next_time = now_ns + ns(left);
    state.timer_expiry = state.next_time;
}

std::uint32_t decode_timer(const ApicState& state, std::int64_t now_ns) {
    if (state.initial_count == 0)
        return 0;
    const std::uint64_t elapsed = elapsed_counts(state, now_ns);
    if (timer_mode(state.lvt[0]) == TimerMode::Periodic)
        return state.initial_count - static_cast<std::uint32_t>(elapsed % state.initial_count);
    return elapsed >= state.initial_count ? 0 : state.initial_count - static_cast<std::uint32_t>(elapsed);
}

} // namespace kvm

Status Schema<kvm::ApicState>::validate(const S& s) {
    if ((s.apicbase & kApicBaseReserved) != 0 ||
        ((s.apicbase & kvm::kApicBaseX2) != 0 && (s.apicbase & kvm::kApicBaseEnable) == 0))
        return corrupt("apicbase {:#x}", s.apicbase);
    if ((s.spurious_vec & ~kSpuriousDefined) != 0)
        return corrupt("spurious vector register {:#x}", s.spurious_vec);
    if (s.dest_mode > 0xf)
        return corrupt("destination format {:#x}", s.dest_mode);
    for (std::size_t i = 0; i < s.lvt.size(); ++i)
        if ((s.lvt[i] & ~kLvtDefined[i]) != 0 || (i == 0 && ((s.lvt[0] >> 17) & 3) == 3))
            return corrupt("local vector table entry {} is {:#x}", i, s.lvt[i]);
    if ((s.divide_conf & ~kDivideDefined) != 0)
        return corrupt("divide configuration {:#x}", s.divide_conf);
    if (s.count_shift < 0 || s.count_shift > 7)
        return corrupt("timer shift {}", s.count_shift);
    return {};
}

} // namespace godwit
