// SPDX-License-Identifier: Apache-2.0
//
// The "apic" record: a LAPIC as the state stream has it (QEMU 7.2 hw/intc/apic_common.c). The count at which
// the timer stands is not a field: it follows from the time of loading the initial count, on the guest's
// virtual clock.
#pragma once

#include "migration/state/schema.h"

#include <array>
#include <optional>

namespace godwit::kvm {

// Only QEMU's own emulator uses it.
struct ApicSipiState {
    std::int32_t sipi_vector = 0;
    std::int32_t wait_for_sipi = 0;
    bool operator==(const ApicSipiState&) const = default;
};

struct ApicState {
    std::uint32_t apicbase = 0; // low half of IA32_APIC_BASE
    std::uint8_t id = 0;
    std::uint8_t arb_id = 0;
    std::uint8_t tpr = 0;
    std::uint32_t spurious_vec = 0;
    std::uint8_t log_dest = 0;  // LDR bits 31 to 24
    std::uint8_t dest_mode = 0; // DFR bits 31 to 28
    std::array<std::uint32_t, 8> isr{};
    std::array<std::uint32_t, 8> tmr{};
    std::array<std::uint32_t, 8> irr{};
    std::array<std::uint32_t, 6> lvt{}; // timer, thermal, performance, LINT0, LINT1, error
    std::uint32_t esr = 0;
    std::array<std::uint32_t, 2> icr{};
    std::uint32_t divide_conf = 0;
    std::int32_t count_shift = 0; // one count is 2^count_shift ns
    std::uint32_t initial_count = 0;
    std::int64_t initial_count_load_time = 0; // ns of the virtual clock
    std::int64_t next_time = 0;
    std::int64_t timer_expiry = -1; // -1: the timer does not run
    std::optional<ApicSipiState> sipi;
    bool operator==(const ApicState&) const = default;
};

inline constexpr std::uint32_t kApicBaseBsp = 1u << 8;
inline constexpr std::uint32_t kApicBaseX2 = 1u << 10;
inline constexpr std::uint32_t kApicBaseEnable = 1u << 11;

// log2 of the timer's divider, from the divide configuration register (Intel SDM volume 3, figure 11-10).
constexpr std::int32_t timer_shift(std::uint32_t divide_conf) {
    const std::uint32_t v = (divide_conf & 3) | ((divide_conf >> 1) & 4);
    return static_cast<std::int32_t>((v + 1) & 7);
}

enum class TimerMode { OneShot, Periodic, TscDeadline };
constexpr TimerMode timer_mode(std::uint32_t lvt_timer) {
    const std::uint32_t mode = (lvt_timer >> 17) & 3;
    return mode == 0 ? TimerMode::OneShot : mode == 1 ? TimerMode::Periodic : TimerMode::TscDeadline;
}

// Sets load time, next time and expiry of a timer that stands at `current_count` now.
void encode_timer(ApicState& state, std::uint32_t current_count, std::int64_t now_ns);
// The count at which the timer stands now. 0: a one-shot timer that has fired.
std::uint32_t decode_timer(const ApicState& state, std::int64_t now_ns);

} // namespace godwit::kvm

namespace godwit {

template <>
struct Schema<kvm::ApicSipiState> {
    using S = kvm::ApicSipiState;
    static constexpr std::string_view name = "apic_sipi";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"sipi_vector", &S::sipi_vector},
                                       Field{"wait_for_sipi", &S::wait_for_sipi}};
};
static_assert(schema_is_complete<kvm::ApicSipiState>());

template <>
struct Schema<kvm::ApicState> {
    using S = kvm::ApicState;
    static constexpr std::string_view name = "apic";
    static constexpr std::uint32_t version = 3, minimum_version = 3;
    static constexpr std::tuple fields{
        Field{"apicbase", &S::apicbase},
        Field{"id", &S::id},
        Field{"arb_id", &S::arb_id},
        Field{"tpr", &S::tpr},
        Field{"spurious_vec", &S::spurious_vec},
        Field{"log_dest", &S::log_dest},
        Field{"dest_mode", &S::dest_mode},
        Field{"isr", &S::isr},
        Field{"tmr", &S::tmr},
        Field{"irr", &S::irr},
        Field{"lvt", &S::lvt},
        Field{"esr", &S::esr},
        Field{"icr", &S::icr},
        Field{"divide_conf", &S::divide_conf},
        Field{"count_shift", &S::count_shift},
        Field{"initial_count", &S::initial_count},
        Field{"initial_count_load_time", &S::initial_count_load_time},
        Field{"next_time", &S::next_time},
        Field{"timer_expiry", &S::timer_expiry},
    };
    static constexpr std::tuple subsections{Subsection{&S::sipi}};
    static Status validate(const S& state);
};
static_assert(schema_is_complete<kvm::ApicState>());

} // namespace godwit
