// SPDX-License-Identifier: Apache-2.0
//
// All that this host can give to a guest, as a model: CPUID without what is filled in for each vCPU, and the
// registers that tell features as a fresh vCPU has them. KVM's own list of these registers promises values
// that it then refuses for some processors, so a vCPU is asked.
#pragma once

#include "vmm/cpu/cpuid.h"
#include "vmm/kvm/kvm.h"

#include <span>
#include <vector>

namespace godwit::kvm {

// Makes a VM for the question and throws it away. A machine asks its own vCPU instead (Vcpu::cpu_model()).
Result<cpu::CpuModel> host_cpu_model(const Kvm& kvm);

// Of all registers of a vCPU those that tell features, given what its CPUID says.
std::vector<cpu::MsrValue> feature_msrs_of(const CpuidTable& cpuid, std::span<const cpu::MsrValue> all);

} // namespace godwit::kvm
