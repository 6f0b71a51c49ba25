// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/state/apic_section.h"

#include <cstring>

namespace godwit::kvm {

namespace {

// Offsets in the page: Intel SDM volume 3, table 11-1.
constexpr std::size_t kId = 0x20, kTpr = 0x80, kArbitration = 0x90, kLdr = 0xd0, kDfr = 0xe0, kSvr = 0xf0,
                      kIsr = 0x100, kTmr = 0x180, kIrr = 0x200, kEsr = 0x280, kIcr = 0x300, kLvt = 0x320,
                      kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0, kStride = 0x10;

std::uint32_t get(const kvm_lapic_state& lapic, std::size_t offset) {
    std::uint32_t value;
    std::memcpy(&value, lapic.regs + offset, sizeof value);
    return value;
}
void put(kvm_lapic_state& lapic, std::size_t offset, std::uint32_t value) {
    std::memcpy(lapic.regs + offset, &value, sizeof value);
}

template <std::size_t N>
void get_all(const kvm_lapic_state& lapic, std::size_t offset, std::array<std::uint32_t, N>& values) {
    for (std::size_t i = 0; i < N; ++i)
        values[i] = get(lapic, offset + i * kStride);
}
template <std::size_t N>
void put_all(kvm_lapic_state& lapic, std::size_t offset, const std::array<std::uint32_t, N>& values) {
    for (std::size_t i = 0; i < N; ++i)
        put(lapic, offset + i * kStride, values[i]);
}

} // namespace

ApicState to_apic_state(const kvm_lapic_state& lapic, std::uint64_t apic_base, std::int64_t now_ns) {
    ApicState s;
    s.apicbase = static_cast<std::uint32_t>(apic_base);
    s.id = static_cast<std::uint8_t>(get(lapic, kId) >> 24);
    s.arb_id = static_cast<std::uint8_t>(get(lapic, kArbitration));
    s.tpr = static_cast<std::uint8_t>(get(lapic, kTpr));
    s.spurious_vec = get(lapic, kSvr);
    s.log_dest = static_cast<std::uint8_t>(get(lapic, kLdr) >> 24);
    s.dest_mode = static_cast<std::uint8_t>(get(lapic, kDfr) >> 28);
    get_all(lapic, kIsr, s.isr);
    get_all(lapic, kTmr, s.tmr);
    get_all(lapic, kIrr, s.irr);
    get_all(lapic, kLvt, s.lvt);
    s.esr = get(lapic, kEsr);
    get_all(lapic, kIcr, s.icr);
    s.divide_conf = get(lapic, kDivide);
    s.initial_count = get(lapic, kInitialCount);
    encode_timer(s, get(lapic, kCurrentCount), now_ns);
    return s;
}

kvm_lapic_state to_lapic(const ApicState& s, const kvm_lapic_state& lapic, std::int64_t now_ns) {
    kvm_lapic_state out = lapic;
    if ((s.apicbase & kApicBaseX2) == 0)
        put(out, kId, std::uint32_t{s.id} << 24); // else it is the vCPU's own, and so is the LDR
    put(out, kTpr, s.tpr);
    put(out, kArbitration, s.arb_id);
    put(out, kLdr, std::uint32_t{s.log_dest} << 24);
    put(out, kDfr, (std::uint32_t{s.dest_mode} << 28) | 0x0fffffff);
    put(out, kSvr, s.spurious_vec);
    put_all(out, kIsr, s.isr);
    put_all(out, kTmr, s.tmr);
    put_all(out, kIrr, s.irr);
    put_all(out, kLvt, s.lvt);
    put(out, kEsr, s.esr);
    put_all(out, kIcr, s.icr);
    put(out, kDivide, s.divide_conf);
    const std::uint32_t current = decode_timer(s, now_ns);
    put(out, kCurrentCount, current);
    // KVM fires a one-shot timer that is at its end when it is loaded. That is wanted: one that ran out while
    // the vCPU was parked is pending inside KVM, where no ioctl shows it, and looks the same as one that was
    // delivered long ago. A timer interrupt too many is harmless, one too few leaves the guest halted.
    put(out, kInitialCount, s.initial_count);
    return out;
}

Status check_apic(const ApicState& state, std::uint32_t apic_id, const CpuidTable& cpuid) {
    const CpuidEntry* const features = find_leaf(cpuid, 1);
    if ((state.apicbase & kApicBaseX2) != 0 && (features == nullptr || (features->ecx & (1u << 21)) == 0))
        return error(ErrorCode::Incompatible, "the guest uses x2APIC, which this vCPU lacks");
    if (((state.apicbase & kApicBaseBsp) != 0) != (apic_id == 0))
        return corrupt("apicbase {:#x} of vCPU {}", state.apicbase, apic_id);
    return {};
}

} // namespace godwit::kvm
