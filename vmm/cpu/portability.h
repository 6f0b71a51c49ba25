// SPDX-License-Identifier: Apache-2.0
//
// Processors as guests can be moved between them: what a host cannot give of a model, what two hosts have in
// common, and a model that nearly every host can give. Pure functions; README.md has the rules.
#pragma once

#include "vmm/base/result.h"
#include "vmm/cpu/cpuid.h"

#include <string>
#include <vector>

namespace godwit::cpu {

// One thing that a guest was given and a host cannot give.
struct Obstacle {
    enum class Kind {
        Vendor,       // values: the guest's, the host's
        Feature,      // the bit's name and place
        LeafDiffers,  // the register
        Limit,        // what, the guest's number, the host's
        AddressWidth, // the guest's, of which addresses, the host's
        XsaveLayout,  // component, the guest's size and offset, the host's
        MsrMissing,   // the register, the guest's value
        MsrBit,       // the bit's name and value
    };
    Kind kind;
    std::vector<std::string> values;
    bool operator==(const Obstacle&) const = default;

    std::string text() const;
};

// Empty when `host` can give all of `guest`.
std::vector<Obstacle> obstacles(const CpuModel& guest, const CpuModel& host);
// The same as one error; `what` is who wants the model.
Status check_can_give(const CpuModel& guest, const CpuModel& host, std::string_view what);

// What both can give: promises that both make, warnings that either gives, the smaller of two numbers. What
// only tells about the hardware is that of `a`. Incompatible when the vendors differ.
Result<CpuModel> intersect(const CpuModel& a, const CpuModel& b);

// What `host` can give of the baseline: x86-64-v2 and what every KVM adds. README.md has the list.
CpuModel baseline(const CpuModel& host);
// What it lacks of x86-64-v2, by name.
std::vector<std::string> missing_of_baseline(const CpuModel& host);

} // namespace godwit::cpu
