// SPDX-License-Identifier: Apache-2.0
//
// What each bit of CPUID means to a guest that moves: a table of fields, and of the registers that tell
// features. References: Intel SDM volume 2, CPUID; AMD64 APM volume 3, appendix E; Intel's "Speculative
// Execution Side Channel" documents for IA32_ARCH_CAPABILITIES; Linux Documentation/virt/kvm/x86/cpuid.rst.
// Constants.
#pragma once

#include "vmm/cpu/cpuid.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace godwit::cpu {

enum class Register : std::uint8_t { Eax, Ebx, Ecx, Edx };
inline constexpr std::array kRegisters{Register::Eax, Register::Ebx, Register::Ecx, Register::Edx};

constexpr std::uint32_t CpuidEntry::*member_of(Register reg) {
    constexpr std::array members{&CpuidEntry::eax, &CpuidEntry::ebx, &CpuidEntry::ecx, &CpuidEntry::edx};
    return members[static_cast<std::size_t>(reg)];
}
std::string_view to_string(Register reg);

enum class Kind : std::uint8_t {
    Feature,     // each bit: 1 is something that the processor can do
    Restriction, // each bit: 1 is something that it lacks; a guest that knows of it is safe on either
    Limit,       // a number that may be smaller than the host's
    Width,       // of addresses, in bits: likewise, and a refusal says so
    Top,         // a number of leaves or subleaves: what is in them is looked at one by one
    Shown,       // tells about the hardware and promises nothing: stays what it was
    Derived,     // filled in for each vCPU, or kept by KVM
    Vendor,      // must agree: instructions differ
    Component,   // each bit: a part of the XSAVE area
    Layout,      // size or offset of such a part: must agree where the part is used
    Unknown,     // must read the same on the host
};

inline constexpr std::uint32_t kAnyIndex = 0xffff'ffff;

struct Field {
    std::uint32_t function;
    std::uint32_t index; // kAnyIndex: of every subleaf
    Register reg;
    std::uint32_t mask;
    Kind kind;
    std::string_view name = {}; // of a number
};

std::span<const Field> fields();

// What a bit means; Unknown when no field has it.
Kind kind_of(std::uint32_t function, std::uint32_t index, Register reg, unsigned bit);

// "avx512f (leaf 0x7 ebx bit 16)"; without the name where there is none.
std::string bit_text(std::uint32_t function, std::uint32_t index, Register reg, unsigned bit);
// The name alone, as Linux and QEMU spell it; empty where there is none.
std::string_view bit_name(std::uint32_t function, std::uint32_t index, Register reg, unsigned bit);

// A register that tells features: which of its bits are promises.
struct FeatureMsr {
    std::uint32_t index;
    std::string_view name;
    // 1 promises something (an immunity, a control): safe to withhold, not to invent.
    std::uint64_t promises;
    // 1 warns of something: safe to tell, not to withhold.
    std::uint64_t warnings;
};
std::span<const FeatureMsr> feature_msrs();
const FeatureMsr* find_feature_msr(std::uint32_t index);
// The name alone; empty where there is none.
std::string_view msr_bit_name(std::uint32_t index, unsigned bit);
// "IA32_ARCH_CAPABILITIES bit 0 (rdcl-no)"
std::string msr_bit_text(std::uint32_t index, unsigned bit);

} // namespace godwit::cpu
