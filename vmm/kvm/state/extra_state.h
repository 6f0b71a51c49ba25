// SPDX-License-Identifier: Apache-2.0
//
// Two records that only godwit writes, one of each per vCPU and only when they say something: what QEMU 7.2
// has no fields for. A stream for a QEMU leaves them out.
#pragma once

#include "migration/state/schema.h"

namespace godwit::kvm {

// "godwit-cpu".
struct CpuRemainder {
    std::uint8_t interrupt_shadow = 0; // KVM_X86_SHADOW_INT_...: the instruction after STI or MOV SS
    std::uint32_t error_code = 0;      // of the exception that is being delivered
    bool operator==(const CpuRemainder&) const = default;
};

inline constexpr std::size_t kMaximumUnnamedMsrs = 256;
inline constexpr std::size_t kMsrEntrySize = 12; // be32 index, be64 value

// "godwit-msrs": registers that differ from what they held when the vCPU was made; the others hold that
// again.
struct UnnamedMsrs {
    std::uint32_t count = 0;
    BoundedBytes<kMaximumUnnamedMsrs * kMsrEntrySize> entries;
    bool operator==(const UnnamedMsrs&) const = default;
};

} // namespace godwit::kvm

namespace godwit {

template <>
struct Schema<kvm::CpuRemainder> {
    using S = kvm::CpuRemainder;
    static constexpr std::string_view name = "godwit-cpu";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{Field{"interrupt_shadow", &S::interrupt_shadow},
                                       Field{"error_code", &S::error_code}};
    static Status validate(const S& state) {
        if (state.interrupt_shadow > 3)
            return corrupt("interrupt shadow {}", state.interrupt_shadow);
        return {};
    }
};
static_assert(schema_is_complete<kvm::CpuRemainder>());

template <>
struct Schema<kvm::UnnamedMsrs> {
    using S = kvm::UnnamedMsrs;
    static constexpr std::string_view name = "godwit-msrs";
    static constexpr std::uint32_t version = 1, minimum_version = 1;
    static constexpr std::tuple fields{
        Field{"count", &S::count},
        Field<S, decltype(S::entries)>{
            "entries", &S::entries, 0, nullptr,
            [](const S& s) -> std::size_t { return s.count * kvm::kMsrEntrySize; }},
    };
};
static_assert(schema_is_complete<kvm::UnnamedMsrs>());

} // namespace godwit
