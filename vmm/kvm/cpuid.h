// SPDX-License-Identifier: Apache-2.0
//
// What CPUID tells the guest, as a value: built once from what KVM supports, cut to what the state stream can
// carry, then completed for each vCPU. References: Intel SDM volume 2, CPUID; AMD64 APM volume 3, appendix E;
// Linux Documentation/virt/kvm/x86/cpuid.rst.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <cstdint>
#include <vector>

namespace godwit::kvm {

class Kvm;

using cpu::CpuidEntry;
using cpu::CpuidTable;
using cpu::find_leaf;

// The XSAVE components that the state stream has fields for: x87, SSE, AVX, MPX, AVX-512 and PKRU.
inline constexpr std::uint64_t kCarriedXsaveComponents = 0x2ff;

// What all vCPUs of a machine share: KVM's own offer without performance counters, nested virtualization,
// AMX, SGX, processor trace, LBR and CET, none of which the stream carries.
Result<CpuidTable> make_cpuid_template(const Kvm& kvm);

struct CpuidPlace {
    std::uint32_t vcpu = 0;  // also the APIC id
    std::uint32_t vcpus = 1; // cores of one package, one thread each
    std::uint32_t tsc_khz = 0;
};

// The template with APIC ids, topology and clock rates filled in.
CpuidTable cpuid_for(const CpuidTable& shared, const CpuidPlace& place);

// The guest's TSC in kHz where the table tells it, as cpuid_for() makes it; 0 where it does not.
std::uint32_t told_tsc_khz(const CpuidTable& table);

// KVM_SET_CPUID2. May be repeated with another table until the vCPU has run.
Status set_cpuid(int vcpu_fd, const CpuidTable& table);

} // namespace godwit::kvm
