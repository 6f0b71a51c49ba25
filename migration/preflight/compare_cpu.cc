// SPDX-License-Identifier: Apache-2.0
#include "migration/preflight/compare.h"
#include "vmm/cpu/portability.h"

namespace godwit::migration {

namespace {

constexpr Reason reason_of(cpu::Obstacle::Kind kind) {
    using Kind = cpu::Obstacle::Kind;
    switch (kind) {
    case Kind::Vendor:
        return Reason::CpuVendor;
    case Kind::Feature:
        return Reason::CpuFeatureMissing;
    case Kind::LeafDiffers:
        return Reason::CpuLeafDiffers;
    case Kind::Limit:
        return Reason::CpuLimit;
    case Kind::AddressWidth:
        return Reason::CpuAddressWidth;
    case Kind::XsaveLayout:
        return Reason::CpuXsaveLayout;
    case Kind::MsrMissing:
        return Reason::CpuMsrMissing;
    case Kind::MsrBit:
        return Reason::CpuMsrBit;
    }
    return Reason::CpuLeafDiffers;
}

} // namespace

void compare_cpu(const cpu::CpuModel& guest, const cpu::CpuModel& host, Differences& found) {
    for (const cpu::Obstacle& one : cpu::obstacles(guest, host))
        found.push_back(difference(reason_of(one.kind), "cpu", one.values));
}

} // namespace godwit::migration
