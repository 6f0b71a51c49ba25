// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/xsave.h"

#include <algorithm>
#include <array>

namespace godwit::cpu {

namespace {

constexpr std::uint64_t kAvx = 1 << 2, kMpx = 3 << 3, kAvx512 = 7 << 5, kPkru = 1 << 9;
constexpr std::uint32_t kLegacyArea = 576; // with the header: Intel SDM volume 1, section 13.4

// Features that are of no use without these components.
struct Need {
    std::uint64_t components;
    std::uint32_t function;
    std::uint32_t index;
    std::uint32_t CpuidEntry::*reg;
    std::uint32_t bits;
};
constexpr std::array kNeeds{
    Need{kAvx, 0x1, 0, &CpuidEntry::ecx, bit(12) | bit(28) | bit(29)}, // FMA, AVX, F16C
    Need{kAvx, 0x7, 0, &CpuidEntry::ebx, bit(5)},                      // AVX2
    Need{kAvx, 0x7, 0, &CpuidEntry::ecx, bit(9) | bit(10)},            // VAES, VPCLMULQDQ
    Need{kAvx, 0x7, 1, &CpuidEntry::eax,
         bit(0) | bit(1) | bit(2) | bit(4) | bit(23)}, // SHA512, SM3, SM4, VNNI, IFMA
    Need{kAvx, 0x7, 1, &CpuidEntry::edx, bit(4) | bit(5) | bit(10)},
    Need{kAvx, 0x80000001, 0, &CpuidEntry::ecx, bit(11) | bit(16)}, // XOP, FMA4
    Need{kMpx, 0x7, 0, &CpuidEntry::ebx, bit(14)},
    Need{kAvx512, 0x7, 0, &CpuidEntry::ebx,
         bit(16) | bit(17) | bit(21) | bit(26) | bit(27) | bit(28) | bit(30) | bit(31)},
    Need{kAvx512, 0x7, 0, &CpuidEntry::ecx, bit(1) | bit(6) | bit(11) | bit(12) | bit(14)},
    Need{kAvx512, 0x7, 0, &CpuidEntry::edx, bit(2) | bit(3) | bit(8) | bit(23)},
    Need{kAvx512, 0x7, 1, &CpuidEntry::eax, bit(5)},
    Need{kAvx512, 0x7, 1, &CpuidEntry::edx, bit(19)},
    Need{kPkru, 0x7, 0, &CpuidEntry::ecx, bit(3) | bit(4)},
};

// Components that only exist together.
std::uint64_t complete(std::uint64_t components) {
    for (const std::uint64_t group : {kMpx, kAvx512})
        if ((components & group) != group)
            components &= ~group;
    return (components & kAvx) == 0 ? components & ~kAvx512 : components;
}

} // namespace

std::uint64_t xsave_components(const CpuidTable& table) {
    const CpuidEntry* const leaf = find_leaf(table, 0xd);
    return leaf == nullptr ? 0 : leaf->eax | std::uint64_t{leaf->edx} << 32;
}

void restrict_xsave(CpuidTable& table, std::uint64_t keep) {
    const std::uint64_t before = xsave_components(table);
    const std::uint64_t left = complete(before & (keep | 3)); // x87 and SSE always are
    for (const Need& need : kNeeds)
        if ((left & need.components) != need.components)
            if (CpuidEntry* const entry = find_leaf(table, need.function, need.index))
                entry->*need.reg &= ~need.bits;
    CpuidEntry* leaf = find_leaf(table, 0xd);
    if (leaf == nullptr || left == before)
        return;
    std::erase_if(table, [&](const CpuidEntry& entry) {
        return entry.function == 0xd && entry.index >= 2 &&
               (entry.index >= 64 || (left >> entry.index & 1) == 0);
    });
    std::uint32_t size = kLegacyArea;
    for (const CpuidEntry& entry : table)
        if (entry.function == 0xd && entry.index >= 2)
            size = std::max(size, entry.eax + entry.ebx);
    leaf = find_leaf(table, 0xd); // the table has shrunk
    leaf->eax = static_cast<std::uint32_t>(left);
    leaf->edx = static_cast<std::uint32_t>(left >> 32);
    leaf->ebx = leaf->ecx = size;
}

} // namespace godwit::cpu
