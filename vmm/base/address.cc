// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/address.h"

#include <fmt/format.h>

fmt::format_context::iterator fmt::formatter<godwit::Gpa>::format(godwit::Gpa gpa,
                                                                  format_context& context) const {
    return fmt::format_to(context.out(), "gpa:{:#x}", gpa.value);
}

fmt::format_context::iterator fmt::formatter<godwit::RamOffset>::format(godwit::RamOffset offset,
                                                                        format_context& context) const {
    return fmt::format_to(context.out(), "ram:{:#x}", offset.value);
}
