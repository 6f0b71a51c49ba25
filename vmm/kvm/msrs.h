// SPDX-License-Identifier: Apache-2.0
//
// The model-specific registers of a vCPU, in bulk. Reference: Linux Documentation/virt/kvm/api.rst,
// KVM_GET_MSRS. The vCPU must be parked.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace godwit::kvm {

using cpu::MsrValue;

// Reads what can be read; a register that this vCPU does not have is left out.
Result<std::vector<MsrValue>> read_present_msrs(int vcpu_fd, std::span<const std::uint32_t> indices);
// Reads all; an absent one is an error that names it.
Status read_msrs(int vcpu_fd, std::span<MsrValue> msrs);
// Writes all, in order; a value that KVM refuses is an error that names register and value.
Status write_msrs(int vcpu_fd, std::span<const MsrValue> msrs);

// Which registers a vCPU has, and what they held when it was made. Sorted by index.
class MsrSet {
  public:
    MsrSet() = default;
    explicit MsrSet(std::vector<MsrValue> initial);
    bool has(std::uint32_t index) const { return initial(index).has_value(); }
    std::optional<std::uint64_t> initial(std::uint32_t index) const;
    std::span<const MsrValue> all() const { return initial_; }

  private:
    std::vector<MsrValue> initial_;
};

// KVM's list and those that KVM keeps without listing them: MTRRs, machine-check banks, TSC_AUX.
std::vector<std::uint32_t> all_msr_indices(std::span<const std::uint32_t> listed);

} // namespace godwit::kvm
