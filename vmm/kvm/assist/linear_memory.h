// SPDX-License-Identifier: Apache-2.0
//
// Guest memory by linear address: a walk of the guest's own page tables, with the checks and the accessed and
// dirty bits of the Intel SDM, volume 3, chapter 4 (4-level and 5-level paging; protection keys are not
// looked at). The vCPU's thread.
#pragma once

#include "vmm/kvm/assist/cpu_image.h"
#include "vmm/memory/guest_memory.h"

#include <span>

namespace godwit::kvm {

enum class Access { Read, Write };
enum class Reached {
    Done,
    Faulted, // the image's `raised` and cr2 tell
    NotOurs, // not RAM: a device's registers, or tables that point there
};

class LinearMemory {
  public:
    LinearMemory(GuestMemory& memory, CpuImage& cpu) : memory_(memory), cpu_(cpu) {}

    // All of the range or nothing of it.
    Reached read(std::uint64_t address, std::span<std::byte> out);
    Reached write(std::uint64_t address, std::span<const std::byte> bytes);
    // Each byte of the range could be written.
    Reached probe_write(std::uint64_t address, std::uint64_t size);
    // One access within a page, for what must be atomic.
    Reached locate(std::uint64_t address, std::uint64_t size, Access access, Gpa& gpa);
    GuestMemory& ram() { return memory_; }

  private:
    Reached translate(std::uint64_t address, Access access, Gpa& gpa);
    Reached fault(std::uint64_t address, Access access, bool present, bool reserved);
    bool is_canonical(std::uint64_t address) const;
    template <class Each>
    Reached for_each_page(std::uint64_t address, std::uint64_t size, Access access, Each&& each);

    GuestMemory& memory_;
    CpuImage& cpu_;
};

} // namespace godwit::kvm
