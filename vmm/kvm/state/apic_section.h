// SPDX-License-Identifier: Apache-2.0
//
// Between KVM's LAPIC page and the "apic" record. Pure functions. Included by .cc files of vmm/kvm only.
#pragma once

#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/kvm_api.h"
#include "vmm/kvm/state/apic_state.h"

namespace godwit::kvm {

ApicState to_apic_state(const kvm_lapic_state& lapic, std::uint64_t apic_base, std::int64_t now_ns);
// Overwrites what the record describes and leaves the rest of `lapic`.
kvm_lapic_state to_lapic(const ApicState& state, const kvm_lapic_state& lapic, std::int64_t now_ns);
// Against the vCPU that it is for.
Status check_apic(const ApicState& state, std::uint32_t apic_id, const CpuidTable& cpuid);

} // namespace godwit::kvm
