// SPDX-License-Identifier: Apache-2.0
//
// ioctl(2) with the error named after the request, and storage for KVM's variable-length structs.
#pragma once

#include "vmm/base/result.h"

#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/ioctl.h>
#include <vector>

namespace godwit::kvm {

// The request's return value. `name` is the request's own: "KVM_CREATE_VM".
inline Result<int> control(int fd, unsigned long request, std::string_view name, unsigned long argument = 0) {
    const int result = ::ioctl(fd, request, argument);
    if (result < 0)
        return system_error(errno, name);
    return result;
}

template <class T>
Result<int> control(int fd, unsigned long request, std::string_view name, T* argument) {
    return control(fd, request, name, reinterpret_cast<unsigned long>(argument));
}

// A header that counts the entries behind it: kvm_cpuid2, kvm_msrs, kvm_irq_routing...
template <class Header, class Entry>
class Counted {
  public:
    explicit Counted(std::size_t entries)
        : storage_((sizeof(Header) + entries * sizeof(Entry) + sizeof(std::uint64_t) - 1) /
                   sizeof(std::uint64_t)),
          entries_(entries) {}

    Header* header() { return reinterpret_cast<Header*>(storage_.data()); }
    Entry* data() {
        return reinterpret_cast<Entry*>(reinterpret_cast<std::byte*>(storage_.data()) + sizeof(Header));
    }
    std::span<Entry> entries() { return {data(), entries_}; }

  private:
    std::vector<std::uint64_t> storage_;
    std::size_t entries_;
};

} // namespace godwit::kvm

// KVM_CONTROL(fd, KVM_CREATE_VM) and KVM_CONTROL(fd, KVM_SET_REGS, &regs): the name comes with the request.
#define KVM_CONTROL(fd, request, ...) ::godwit::kvm::control(fd, request, #request __VA_OPT__(, ) __VA_ARGS__)
