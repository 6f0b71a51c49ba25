// SPDX-License-Identifier: Apache-2.0
//
// The JSON description at the end of a stream, read back; the counterpart of
// migration/wire/description_json.h. Reference: scripts/analyze-migration.py of QEMU 7.2. Pure functions.
#pragma once

#include "migration/inspect/view.h"
#include "migration/wire/description_json.h"
#include "vmm/base/result.h"

#include <optional>
#include <span>

namespace godwit::migration::inspect {

// What the description says besides the fields of the devices. QEMU's has none of it.
struct WriterNotes {
    std::vector<std::string> order;
    std::vector<Note> processor;
};

struct Description {
    std::vector<wire::DescribedSection> sections; // in the order of the stream
    WriterNotes notes;
};

// Bounded in depth and in the number of values before it is parsed: the text is hostile.
Result<Description> parse_description(std::string_view json);

} // namespace godwit::migration::inspect
