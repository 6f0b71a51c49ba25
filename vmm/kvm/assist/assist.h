// SPDX-License-Identifier: Apache-2.0
//
// Completes instructions that KVM reports as not emulated (KVM_EXIT_INTERNAL_ERROR, suberror 1): takes what
// the instruction needs from the vCPU, carries it out on a CpuImage, and gives the vCPU what came of it.
// 64-bit mode only. On the vCPU's thread, between two KVM_RUNs.
#pragma once

#include "vmm/base/result.h"
#include "vmm/kvm/assist/xsave.h"
#include "vmm/memory/guest_memory.h"

#include <cstdint>
#include <span>
#include <string>

struct kvm_run;

namespace godwit::kvm {

class EmulationAssist {
  public:
    EmulationAssist(int vcpu_fd, GuestMemory& memory)
        : vcpu_fd_(vcpu_fd), memory_(memory), layout_(host_xsave_areas()) {}

    // True when the instruction is complete, or its exception is on its way to the guest; false when it is
    // none of those that are completed here. The guest can run on after true.
    Result<bool> complete(const kvm_run& run);

    std::uint64_t completed() const { return completed_; }

  private:
    Status give_back(const CpuImage& before, const CpuImage& after);
    Status raise(const CpuException& what);
    Status set_control_registers(const CpuImage& image);

    const int vcpu_fd_;
    GuestMemory& memory_;
    const XsaveAreas layout_;
    std::uint64_t completed_ = 0;
};

// What stands at the vCPU's instruction pointer, for messages: "popcnt rax, rbx", in Intel's notation.
struct DecodedText {
    std::string text;
    std::size_t length = 0; // 0: the bytes are no instruction
};
DecodedText disassemble(int vcpu_fd, std::span<const std::byte> bytes);

// The instruction's bytes as KVM gave them; empty when it did not.
std::span<const std::byte> failed_instruction(const kvm_run& run);

} // namespace godwit::kvm
