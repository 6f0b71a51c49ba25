// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/cpuid.h"

#include <algorithm>

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

} // namespace godwit::cpu
