// SPDX-License-Identifier: Apache-2.0
//
// /dev/kvm: what this host offers. Reference: Linux Documentation/virt/kvm/api.rst.
// Any thread; nothing changes after open().
#pragma once

#include "vmm/base/fd.h"
#include "vmm/base/result.h"
#include "vmm/kvm/cpuid.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace godwit::kvm {

class Kvm {
  public:
    // NoDevice when the device is missing, not permitted, of another API version, or lacks something that
    // godwit needs; the text is one sentence that says which.
    static Result<std::unique_ptr<Kvm>> open(const std::string& path = "/dev/kvm");

    int fd() const { return fd_.get(); }
    // KVM_CHECK_EXTENSION: 0 when absent.
    int extension(int capability) const;
    // Bytes of the area that a vCPU shares with us.
    std::size_t run_size() const { return run_size_; }
    std::uint32_t maximum_vcpus() const { return maximum_vcpus_; }

    Result<CpuidTable> supported_cpuid() const;
    // KVM_GET_MSR_INDEX_LIST, in KVM's order.
    const std::vector<std::uint32_t>& msr_indices() const { return msr_indices_; }

  private:
    explicit Kvm(Fd fd) : fd_(std::move(fd)) {}
    Status check_capabilities() const;
    Status load_msr_indices();

    Fd fd_;
    std::size_t run_size_ = 0;
    std::uint32_t maximum_vcpus_ = 0;
    std::vector<std::uint32_t> msr_indices_;
};

} // namespace godwit::kvm
