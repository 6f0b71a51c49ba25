// SPDX-License-Identifier: Apache-2.0
//
// What one instruction reads and changes of a vCPU, as a value: instructions are carried out on it without
// KVM, and so can be tested without it. Names and numbers are those of the Intel SDM.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace godwit::kvm {

namespace cr0 {
inline constexpr std::uint64_t kMp = 1 << 1, kEm = 1 << 2, kTs = 1 << 3, kNe = 1 << 5, kWp = 1 << 16,
                               kPg = std::uint64_t{1} << 31;
}
namespace cr4 {
inline constexpr std::uint64_t kPge = 1 << 7, kOsfxsr = 1 << 9, kLa57 = 1 << 12, kOsxsave = 1 << 18,
                               kSmap = 1 << 21;
}
namespace rflags {
inline constexpr std::uint64_t kCf = 1, kPf = 1 << 2, kAf = 1 << 4, kZf = 1 << 6, kSf = 1 << 7, kOf = 1 << 11,
                               kAc = 1 << 18;
}

struct CpuException {
    std::uint8_t vector;
    std::optional<std::uint32_t> error_code = std::nullopt;
    bool operator==(const CpuException&) const = default;
};
namespace exception {
inline constexpr CpuException kBreakpoint{3}, kInvalidOpcode{6}, kDeviceNotAvailable{7},
    kGeneralProtection{13, 0}, kX87{16};
inline constexpr std::uint8_t kPageFault = 14;
} // namespace exception

enum Register : std::uint8_t { kRax, kRcx, kRdx, kRbx, kRsp };

struct CpuImage {
    std::array<std::uint64_t, 16> gpr{}; // in the order of their encoding: RAX, RCX, RDX, RBX, RSP...
    std::uint64_t rip = 0;
    std::uint64_t rflags = 0;
    std::uint64_t cr0 = 0;
    std::uint64_t cr2 = 0;
    std::uint64_t cr3 = 0;
    std::uint64_t cr4 = 0;
    std::uint64_t efer = 0;
    std::uint64_t fs_base = 0;
    std::uint64_t gs_base = 0;
    std::uint8_t cpl = 0;

    // Filled in for instructions that need them only.
    std::uint64_t tsc = 0;
    std::uint32_t tsc_aux = 0;
    std::uint64_t xcr0 = 0;
    std::vector<std::byte> xsave; // standard format: legacy region, header at 512, the rest

    // What came of the instruction.
    bool xcr0_changed = false;
    bool xsave_changed = false;
    bool flush_tlb = false;
    std::optional<CpuException> raised; // to be delivered; rip is where it returns to
};

} // namespace godwit::kvm
