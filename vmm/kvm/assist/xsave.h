// SPDX-License-Identifier: Apache-2.0
//
// The XSAVE family on a CpuImage. Reference: Intel SDM, volume 1, chapter 13. The image holds the state in
// the standard format; user state components only (IA32_XSS counts as 0).
#pragma once

#include "vmm/kvm/assist/instruction.h"
#include "vmm/kvm/assist/linear_memory.h"

#include <array>

namespace godwit::kvm {

// CPUID leaf 0xd, as far as kvm_xsave has room for it.
struct XsaveAreas {
    struct Component {
        std::uint32_t offset = 0; // in the standard format
        std::uint32_t size = 0;   // 0: there is none
        bool aligned = false;     // in the compacted format
    };
    std::uint64_t supported = 0; // bits that XCR0 may have
    std::array<Component, 63> components{};
};
XsaveAreas host_xsave_areas();
inline constexpr std::size_t kXsaveImage = 4096; // sizeof(kvm_xsave)

enum class Carried {
    Out,     // the instruction is complete
    Raised,  // it caused an exception
    NotOurs, // not one of those, or it reaches for memory that is not RAM
};

Carried xsave(const Instruction& instruction, const XsaveAreas& layout, CpuImage& cpu, LinearMemory& memory);
Carried xrstor(const Instruction& instruction, const XsaveAreas& layout, CpuImage& cpu, LinearMemory& memory);
Carried xgetbv(CpuImage& cpu);
Carried xsetbv(const XsaveAreas& layout, CpuImage& cpu);

// MXCSR in the image's legacy region.
std::uint32_t mxcsr(const CpuImage& cpu);
// False when a reserved bit is set.
bool set_mxcsr(CpuImage& cpu, std::uint32_t value);
// FSW in the image's legacy region.
std::uint16_t fpu_status(const CpuImage& cpu);

Carried raise(CpuImage& cpu, CpuException what);
Carried carried(Reached reached);

} // namespace godwit::kvm
