// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/vendor.h"

namespace godwit::cpu {

std::string vendor_of(const CpuidTable& table) {
    const CpuidEntry* const leaf = find_leaf(table, 0);
    std::string vendor;
    if (leaf == nullptr)
        return vendor;
    for (const std::uint32_t part : {leaf->ebx, leaf->edx, leaf->ecx})
        for (unsigned shift = 0; shift < 32; shift += 8) {
            const auto letter = static_cast<char>(part >> shift & 0xff);
            vendor += letter < 0x20 || letter > 0x7e ? '?' : letter;
        }
    return vendor;
}

bool same_vendor(const CpuidTable& a, const CpuidTable& b) {
    const CpuidEntry* const of_a = find_leaf(a, 0);
    const CpuidEntry* const of_b = find_leaf(b, 0);
    return of_a != nullptr && of_b != nullptr && of_a->ebx == of_b->ebx && of_a->ecx == of_b->ecx &&
           of_a->edx == of_b->edx;
}

} // namespace godwit::cpu
