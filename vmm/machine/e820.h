// SPDX-License-Identifier: Apache-2.0
//
// One entry of the guest's memory map. Type numbers of the BIOS call INT 15h AX=E820h (ACPI 6.4, table 15.1),
// which both the Linux boot protocol and PVH use.
#pragma once

#include "vmm/base/address.h"

#include <cstdint>

namespace godwit {

enum class E820Type : std::uint32_t { Ram = 1, Reserved = 2, AcpiReclaimable = 3, AcpiNvs = 4 };

struct E820Entry {
    Gpa base;
    std::uint64_t size = 0;
    E820Type type = E820Type::Reserved;
    bool operator==(const E820Entry&) const = default;
};

} // namespace godwit
