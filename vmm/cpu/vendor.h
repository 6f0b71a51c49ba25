// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/cpu/cpuid.h"

#include <string>

namespace godwit::cpu {

// "GenuineIntel": leaf 0. Bytes that are not printable become '?'.
std::string vendor_of(const CpuidTable& table);
bool same_vendor(const CpuidTable& a, const CpuidTable& b);

} // namespace godwit::cpu
