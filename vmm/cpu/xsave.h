// SPDX-License-Identifier: Apache-2.0
//
// Parts of the XSAVE area and the features that need them. Intel SDM volume 1, section 13.
#pragma once

#include "vmm/cpu/cpuid.h"

namespace godwit::cpu {

// Of leaf 0xd, subleaf 0.
std::uint64_t xsave_components(const CpuidTable& table);
// Takes away the parts that are not in `keep`, and those that are of no use without them; then every feature
// that needs a part which is not there, and tells the size of what is left.
void restrict_xsave(CpuidTable& table, std::uint64_t keep);

} // namespace godwit::cpu
