// SPDX-License-Identifier: Apache-2.0
//
// The JSON description at the end of a stream (QEMU's "vmdesc"), which lets a reader that does not know the
// devices walk their fields: migration/savevm.c, migration/vmstate.c and scripts/analyze-migration.py of QEMU
// 7.2. Pure functions.
#pragma once

#include "migration/state/description.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::migration::wire {

struct DescribedSection {
    std::string name;
    std::uint32_t instance;
    std::string record;
    std::uint32_t version;
    RecordDescription description;
};

// What godwit adds for its own readers, under kNotesKey.
struct DescriptionNotes {
    std::span<const std::string> order; // the steps of saving, as they happened
    bool empty() const { return order.empty(); }
};

// One line, no NUL. Elements of an array that look alike are described once, with `array_len`; a field name
// that repeats within a record gets the suffix "[k]".
std::string describe(const std::vector<DescribedSection>& sections, const DescriptionNotes& notes = {});

} // namespace godwit::migration::wire
