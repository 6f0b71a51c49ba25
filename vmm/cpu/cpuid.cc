// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/cpuid.h"

#include "vmm/cpu/fields.h"

#include <algorithm>

#include <fmt/core.h>

namespace godwit::cpu {

CpuidEntry* find_leaf(CpuidTable& table, std::uint32_t function, std::uint32_t index) {
    const auto found = std::ranges::find_if(table, [&](const CpuidEntry& entry) {
        return entry.function == function && (!entry.index_matters || entry.index == index);
    });
    return found == table.end() ? nullptr : &*found;
}

const CpuidEntry* find_leaf(const CpuidTable& table, std::uint32_t function, std::uint32_t index) {
    return find_leaf(const_cast<CpuidTable&>(table), function, index);
}

std::optional<std::string> fault_of(const CpuModel& model) {
    if (model.cpuid.size() > kMaxCpuidEntries || model.msrs.size() > kMaxFeatureMsrs)
        return fmt::format("{} CPUID entries and {} registers, at most {} and {} can be", model.cpuid.size(),
                           model.msrs.size(), kMaxCpuidEntries, kMaxFeatureMsrs);
    for (auto entry = model.cpuid.begin(); entry != model.cpuid.end(); ++entry)
        if (std::any_of(model.cpuid.begin(), entry, [&](const CpuidEntry& other) {
                return other.function == entry->function &&
                       (other.index == entry->index || !other.index_matters || !entry->index_matters);
            }))
            return fmt::format("leaf {:#x} subleaf {} is there twice", entry->function, entry->index);
    for (auto msr = model.msrs.begin(); msr != model.msrs.end(); ++msr) {
        if (find_feature_msr(msr->index) == nullptr)
            return fmt::format("register {:#x} does not tell features", msr->index);
        if (std::ranges::find(model.msrs.begin(), msr, msr->index, &MsrValue::index) != msr)
            return fmt::format("register {:#x} is there twice", msr->index);
    }
    if (find_leaf(model.cpuid, 0) == nullptr || find_leaf(model.cpuid, 1) == nullptr)
        return "CPUID leaves 0 and 1 are not both there";
    return {};
}

} // namespace godwit::cpu
