// SPDX-License-Identifier: Apache-2.0
//
// Between KVM's view of a vCPU and the records of the state stream. Pure functions. Included by .cc files of
// vmm/kvm only.
#pragma once

#include "vmm/kvm/state/cpu_schema.h"
#include "vmm/kvm/state/extra_state.h"
#include "vmm/kvm/state/vcpu_image.h"

namespace godwit::kvm {

// What the conversion must know about the vCPU.
struct ConvertContext {
    XsaveLayout xsave;
    std::uint32_t physical_bits = 36;
    std::uint32_t linear_bits = 48; // 57 when the guest may use five-level paging
    std::uint32_t tsc_khz = 0;
};
ConvertContext convert_context(const Vcpu& vcpu);

CpuCommonState to_common_state(const VcpuImage& image);
CpuState to_cpu_state(const VcpuImage& image, const ConvertContext& context);

// Overwrites what the record describes and leaves the rest of `image`, which was captured from the same vCPU.
// What the vCPU cannot hold is an error: check it before anything is applied.
Status to_image(const CpuState& state, std::uint32_t interrupt_request, const ConvertContext& context,
                VcpuImage& image);

// The deadline of the TSC timer, which goes in after the LAPIC.
std::uint64_t tsc_deadline_of(const CpuState& state);

// Registers without a field in QEMU's records.
std::vector<MsrValue> unnamed_msrs(const VcpuImage& image);
bool is_unnamed_msr(std::uint32_t index);

} // namespace godwit::kvm
