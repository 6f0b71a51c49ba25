// SPDX-License-Identifier: Apache-2.0
#include "vmm/cpu/fields.h"

#include <algorithm>

#include <fmt/core.h>

namespace godwit::cpu {

namespace {

constexpr std::uint32_t kAll = 0xffff'ffff;

constexpr Register kA = Register::Eax, kB = Register::Ebx, kC = Register::Ecx, kD = Register::Edx;

// The first that has a bit decides.
constexpr std::array kFields{
    Field{0x0, 0, kA, kAll, Kind::Top},
    Field{0x0, 0, kB, kAll, Kind::Vendor},
    Field{0x0, 0, kC, kAll, Kind::Vendor},
    Field{0x0, 0, kD, kAll, Kind::Vendor},
    Field{0x1, 0, kA, kAll, Kind::Shown}, // family, model, stepping
    Field{0x1, 0, kB, 0x000000ff, Kind::Shown},
    Field{0x1, 0, kB, 0x0000ff00, Kind::Limit, "the size of a CLFLUSH line in 8 bytes"},
    Field{0x1, 0, kB, 0xffff0000, Kind::Derived},
    Field{0x1, 0, kC, bit(27), Kind::Derived}, // OSXSAVE
    Field{0x1, 0, kC, kAll, Kind::Feature},
    Field{0x1, 0, kD, bit(28), Kind::Derived}, // more than one processor in the package
    Field{0x1, 0, kD, kAll, Kind::Feature},
    Field{0x6, 0, kA, kAll, Kind::Feature},
    Field{0x6, 0, kB, kAll, Kind::Shown},
    Field{0x6, 0, kC, kAll, Kind::Feature},
    Field{0x6, 0, kD, kAll, Kind::Shown},
    Field{0x7, 0, kA, kAll, Kind::Top},
    Field{0x7, 0, kB, bit(6) | bit(13), Kind::Restriction}, // x87 pointers that are not updated
    Field{0x7, 0, kB, kAll, Kind::Feature},
    Field{0x7, 0, kC, bit(4), Kind::Derived}, // OSPKE
    Field{0x7, 0, kC, 0x003e0000, Kind::Limit, "MAWAU"},
    Field{0x7, 0, kC, kAll, Kind::Feature},
    Field{0x7, 0, kD, kAll, Kind::Feature},
    Field{0x7, 1, kA, kAll, Kind::Feature},
    Field{0x7, 1, kB, kAll, Kind::Feature},
    Field{0x7, 1, kC, kAll, Kind::Feature},
    Field{0x7, 1, kD, kAll, Kind::Feature},
    Field{0x7, 2, kD, kAll, Kind::Feature},
    Field{0xd, 0, kA, kAll, Kind::Component},
    Field{0xd, 0, kB, kAll, Kind::Derived}, // sizes follow from the components
    Field{0xd, 0, kC, kAll, Kind::Derived},
    Field{0xd, 0, kD, kAll, Kind::Component},
    Field{0xd, 1, kA, kAll, Kind::Feature},
    Field{0xd, 1, kB, kAll, Kind::Derived},
    Field{0xd, 1, kC, kAll, Kind::Feature},
    Field{0xd, 1, kD, kAll, Kind::Feature},
    Field{0xd, kAnyIndex, kA, kAll, Kind::Layout},
    Field{0xd, kAnyIndex, kB, kAll, Kind::Layout},
    Field{0xd, kAnyIndex, kC, kAll, Kind::Shown},
    Field{0xd, kAnyIndex, kD, kAll, Kind::Shown},
    // KVM's own.
    Field{0x40000000, 0, kA, kAll, Kind::Top},
    Field{0x40000001, 0, kA, kAll, Kind::Feature},
    Field{0x40000001, 0, kD, kAll, Kind::Shown}, // hints
    Field{0x80000000, 0, kA, kAll, Kind::Top},
    Field{0x80000000, 0, kB, kAll, Kind::Shown},
    Field{0x80000000, 0, kC, kAll, Kind::Shown},
    Field{0x80000000, 0, kD, kAll, Kind::Shown},
    Field{0x80000001, 0, kA, kAll, Kind::Shown},
    Field{0x80000001, 0, kB, kAll, Kind::Shown},
    Field{0x80000001, 0, kC, bit(1), Kind::Derived}, // CmpLegacy
    Field{0x80000001, 0, kC, kAll, Kind::Feature},
    Field{0x80000001, 0, kD, kAll, Kind::Feature},
    Field{0x80000007, 0, kA, kAll, Kind::Shown},
    Field{0x80000007, 0, kB, kAll, Kind::Shown},
    Field{0x80000007, 0, kC, kAll, Kind::Shown},
    Field{0x80000007, 0, kD, kAll, Kind::Feature},
    Field{0x80000008, 0, kA, 0x000000ff, Kind::Width, "physical"},
    Field{0x80000008, 0, kA, 0x0000ff00, Kind::Width, "linear"},
    Field{0x80000008, 0, kA, 0xffff0000, Kind::Shown},
    Field{0x80000008, 0, kB, kAll, Kind::Feature},
    Field{0x80000008, 0, kC, kAll, Kind::Derived},
    Field{0x80000008, 0, kD, 0x0000ffff, Kind::Limit, "the pages of one INVLPGB"},
    Field{0x80000008, 0, kD, 0xffff0000, Kind::Limit, "the registers of RDPRU"},
    Field{0x8000001a, 0, kA, kAll, Kind::Shown}, // how wide operations are carried out
    Field{0x80000021, 0, kA, kAll, Kind::Feature},
    Field{0x80000021, 0, kB, kAll, Kind::Shown},
    Field{0x80000021, 0, kC, kAll, Kind::Feature},
};

// Leaves that are of one kind, with all their subleaves: caches and TLBs, MONITOR, clock rates, the
// processor's name; topology and APIC ids, KVM's own clock rates.
constexpr std::array<std::uint32_t, 12> kShownLeaves{0x2,        0x4,        0x5,        0x15,
                                                     0x16,       0x80000002, 0x80000003, 0x80000004,
                                                     0x80000005, 0x80000006, 0x80000019, 0x8000001d};
constexpr std::array<std::uint32_t, 4> kDerivedLeaves{0xb, 0x1f, 0x40000010, 0x8000001e};

// Intel SDM volume 4, table 2-2; "Speculative Execution Side Channel" for IA32_ARCH_CAPABILITIES.
constexpr std::array kFeatureMsrs{
    FeatureMsr{0x8b, "IA32_BIOS_SIGN_ID", 0, 0}, // the microcode's revision
    FeatureMsr{0xce, "MSR_PLATFORM_INFO", std::uint64_t{1} << 31, 0},
    FeatureMsr{0x10a, "IA32_ARCH_CAPABILITIES",
               ~((std::uint64_t{1} << 2) | (std::uint64_t{1} << 19) | (std::uint64_t{1} << 21)),
               (std::uint64_t{1} << 2) | (std::uint64_t{1} << 19)}, // RSBA, RRSBA
};

} // namespace

std::string_view to_string(Register reg) {
    constexpr std::array<std::string_view, 4> names{"eax", "ebx", "ecx", "edx"};
    return names[static_cast<std::size_t>(reg)];
}

std::span<const Field> fields() {
    return kFields;
}

Kind kind_of(std::uint32_t function, std::uint32_t index, Register reg, unsigned position) {
    if (std::ranges::find(kShownLeaves, function) != kShownLeaves.end())
        return Kind::Shown;
    if (std::ranges::find(kDerivedLeaves, function) != kDerivedLeaves.end())
        return Kind::Derived;
    for (const Field& field : kFields)
        if (field.function == function && (field.index == index || field.index == kAnyIndex) &&
            field.reg == reg && (field.mask >> position & 1) != 0)
            return field.kind;
    return Kind::Unknown;
}

std::string bit_text(std::uint32_t function, std::uint32_t index, Register reg, unsigned position) {
    const std::string_view name = bit_name(function, index, reg, position);
    const std::string place =
        fmt::format("leaf {:#x}{} {} bit {}", function, index != 0 ? fmt::format(" subleaf {}", index) : "",
                    to_string(reg), position);
    return name.empty() ? place : fmt::format("{} ({})", name, place);
}

std::span<const FeatureMsr> feature_msrs() {
    return kFeatureMsrs;
}

const FeatureMsr* find_feature_msr(std::uint32_t index) {
    const auto found = std::ranges::find(kFeatureMsrs, index, &FeatureMsr::index);
    return found == kFeatureMsrs.end() ? nullptr : &*found;
}

std::string msr_bit_text(std::uint32_t index, unsigned position) {
    const FeatureMsr* const msr = find_feature_msr(index);
    const std::string register_name =
        msr != nullptr ? std::string{msr->name} : fmt::format("register {:#x}", index);
    const std::string_view name = msr_bit_name(index, position);
    return fmt::format("{} bit {}{}", register_name, position,
                       name.empty() ? "" : fmt::format(" ({})", name));
}

} // namespace godwit::cpu
