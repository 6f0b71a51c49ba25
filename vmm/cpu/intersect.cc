// SPDX-License-Identifier: Apache-2.0
//
// What two models have in common.
#include "vmm/cpu/fields.h"
#include "vmm/cpu/portability.h"
#include "vmm/cpu/vendor.h"
#include "vmm/cpu/xsave.h"

#include <algorithm>
#include <bit>

namespace godwit::cpu {

namespace {

// One register: each bit by its kind, then the numbers.
std::uint32_t common(const CpuidEntry& place, Register reg, std::uint32_t a, std::uint32_t b) {
    std::uint32_t result = 0, unknown = 0;
    for (unsigned bit = 0; bit < 32; ++bit) {
        const std::uint32_t mask = std::uint32_t{1} << bit;
        switch (kind_of(place.function, place.index, reg, bit)) {
        case Kind::Feature:
        case Kind::Component:
            result |= a & b & mask;
            break;
        case Kind::Unknown:
            unknown |= mask;
            break;
        case Kind::Restriction:
            result |= (a | b) & mask;
            break;
        default:
            result |= a & mask;
        }
    }
    if (((a ^ b) & unknown) == 0) // otherwise nothing is told: it may be a number
        result |= a & unknown;
    for (const Field& field : fields()) {
        const bool number = field.kind == Kind::Limit || field.kind == Kind::Width || field.kind == Kind::Top;
        if (!number || field.function != place.function || field.index != place.index || field.reg != reg)
            continue;
        result = (result & ~field.mask) | std::min(a & field.mask, b & field.mask);
    }
    return result;
}

// Leaves beyond the last one that is told, in each of the three ranges.
void drop_untold(CpuidTable& table) {
    const auto last = [&](std::uint32_t first) -> std::uint32_t {
        const CpuidEntry* const entry = find_leaf(table, first);
        return entry == nullptr ? first : entry->eax;
    };
    const std::uint32_t basic = last(0), hypervisor = last(0x40000000), extended = last(0x80000000);
    std::erase_if(table, [&](const CpuidEntry& entry) {
        if (entry.function >= 0x80000000)
            return entry.function > extended;
        if (entry.function >= 0x40000000)
            return entry.function > hypervisor;
        return entry.function > basic;
    });
}

// Parts of the XSAVE area that are of one size at one place on both.
std::uint64_t common_components(const CpuidTable& a, const CpuidTable& b) {
    std::uint64_t both = xsave_components(a) & xsave_components(b);
    for (std::uint32_t component = 2; component < 64; ++component) {
        const CpuidEntry* const of_a = find_leaf(a, 0xd, component);
        const CpuidEntry* const of_b = find_leaf(b, 0xd, component);
        if (of_a == nullptr || of_b == nullptr || of_a->eax != of_b->eax || of_a->ebx != of_b->ebx)
            both &= ~(std::uint64_t{1} << component);
    }
    return both;
}

} // namespace

Result<CpuModel> intersect(const CpuModel& a, const CpuModel& b) {
    if (!same_vendor(a.cpuid, b.cpuid))
        return error(ErrorCode::Incompatible, "processors of '{}' and '{}' have no model in common",
                     vendor_of(a.cpuid), vendor_of(b.cpuid));
    CpuModel result;
    for (const CpuidEntry& entry : a.cpuid) {
        const CpuidEntry* const other = find_leaf(b.cpuid, entry.function, entry.index);
        if (other == nullptr)
            continue;
        CpuidEntry both = entry;
        for (const Register reg : kRegisters)
            both.*member_of(reg) = common(entry, reg, entry.*member_of(reg), other->*member_of(reg));
        result.cpuid.push_back(both);
    }
    drop_untold(result.cpuid);
    restrict_xsave(result.cpuid, common_components(a.cpuid, b.cpuid));
    for (const MsrValue& msr : a.msrs) {
        const auto other = std::ranges::find(b.msrs, msr.index, &MsrValue::index);
        const FeatureMsr* const meaning = find_feature_msr(msr.index);
        if (other == b.msrs.end() || meaning == nullptr)
            continue;
        const std::uint64_t shown = ~(meaning->promises | meaning->warnings);
        result.msrs.push_back({msr.index, (msr.value & other->value & meaning->promises) |
                                              ((msr.value | other->value) & meaning->warnings) |
                                              (msr.value & shown)});
    }
    return result;
}

} // namespace godwit::cpu
