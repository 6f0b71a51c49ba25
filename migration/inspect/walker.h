// SPDX-License-Identifier: Apache-2.0
//
// Walks a section's body along its description, as scripts/analyze-migration.py of QEMU 7.2 does, and through
// the one part that QEMU does not describe (virtio_layout.h). One thread.
#pragma once

#include "migration/inspect/cursor.h"
#include "migration/state/description.h"

namespace godwit::migration::inspect {

// On an error the fields that were read stay in the cursor.
Status walk(Cursor& in, const RecordDescription& record, std::string_view section);

} // namespace godwit::migration::inspect
