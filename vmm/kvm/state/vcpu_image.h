// SPDX-License-Identifier: Apache-2.0
//
// A vCPU as KVM's ioctls show it. The schemas are made from and into this by pure functions, so that their
// tests need no KVM. Included by .cc files of vmm/kvm only.
#pragma once

#include "vmm/kvm/state/fxsave.h"
#include "vmm/kvm/vcpu.h"

#include <array>
#include <optional>
#include <vector>

namespace godwit::kvm {

struct VcpuImage {
    std::uint32_t mp_state = 0;
    kvm_vcpu_events events{};
    kvm_regs regs{};
    kvm_sregs sregs{};
    std::optional<std::array<std::uint64_t, 4>> pdptrs; // when KVM has them apart from memory
    XsaveArea xsave{};
    std::optional<std::uint64_t> xcr0;
    kvm_debugregs debug{};
    std::vector<MsrValue> msrs; // every one that the vCPU has, sorted

    std::optional<std::uint64_t> msr(std::uint32_t index) const;
    // False when the vCPU has no such register.
    bool set_msr(std::uint32_t index, std::uint64_t value);
};

// Where the components of the XSAVE area are: not the same on all processors (CPUID leaf 0xd).
struct XsaveLayout {
    std::array<std::uint32_t, 10> offset{}; // 0: not there
    std::uint64_t supported = 3;            // components that this guest may use
};
XsaveLayout xsave_layout(const CpuidTable& cpuid);

// Every call needs the vCPU parked.
Result<VcpuImage> capture_image(const Vcpu& vcpu);
// All but the LAPIC and the TSC deadline, which must come after it.
Status apply_image(const Vcpu& vcpu, const VcpuImage& image);
// The same for what a reset does not touch: the TSC keeps counting.
Status apply_reset_image(const Vcpu& vcpu, const VcpuImage& image);

Result<kvm_lapic_state> capture_lapic(const Vcpu& vcpu);
// The base address and mode first: KVM reads the registers in the new mode.
Status apply_lapic(const Vcpu& vcpu, std::uint64_t apic_base, const kvm_lapic_state& lapic);

} // namespace godwit::kvm
