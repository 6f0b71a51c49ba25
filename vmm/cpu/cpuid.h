// SPDX-License-Identifier: Apache-2.0
//
// What CPUID answers, as a value. References: Intel SDM volume 2, CPUID; AMD64 APM volume 3, appendix E. Pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace godwit::cpu {

constexpr std::uint32_t bit(unsigned position) {
    return std::uint32_t{1} << position;
}

struct CpuidEntry {
    std::uint32_t function = 0;
    std::uint32_t index = 0;
    bool index_matters = false; // the leaf has subleaves
    std::uint32_t eax = 0;
    std::uint32_t ebx = 0;
    std::uint32_t ecx = 0;
    std::uint32_t edx = 0;
    bool operator==(const CpuidEntry&) const = default;
};

using CpuidTable = std::vector<CpuidEntry>;

// The entry, or null.
CpuidEntry* find_leaf(CpuidTable& table, std::uint32_t function, std::uint32_t index = 0);
const CpuidEntry* find_leaf(const CpuidTable& table, std::uint32_t function, std::uint32_t index = 0);

struct MsrValue {
    std::uint32_t index = 0;
    std::uint64_t value = 0;
    bool operator==(const MsrValue&) const = default;
};

// What a guest can find out about its processor, and what must therefore stay when it moves: what CPUID
// answers, and the model-specific registers that tell features. APIC ids, topology and clock rates in the
// table are filled in for each vCPU.
struct CpuModel {
    CpuidTable cpuid;
    std::vector<MsrValue> msrs; // sorted by index
    bool operator==(const CpuModel&) const = default;
};

// KVM takes 256 entries; what is filled in for each vCPU needs a few of them.
inline constexpr std::size_t kMaxCpuidEntries = 240;
inline constexpr std::size_t kMaxFeatureMsrs = 64;

// What is wrong with a model that comes from elsewhere: more entries than these, one that is there twice,
// leaves 0 and 1 not among them, a register that does not tell features. Nothing when it can be used.
std::optional<std::string> fault_of(const CpuModel& model);

} // namespace godwit::cpu
