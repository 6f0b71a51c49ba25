// SPDX-License-Identifier: Apache-2.0
//
// Reads a stream, ours or a QEMU's, without a machine to load it into. What is wrong with it becomes part of
// the result: as much as possible is shown of a damaged file. One thread.
//
// Section bodies have no length. The description at the end says what is in them; without it, or where it
// does not fit, a body ends at the next footer with its id that an item follows.
#pragma once

#include "migration/inspect/view.h"
#include "migration/wire/input.h"

namespace godwit::migration::inspect {

struct Options {
    bool pages = false; // keep a key of every RAM page's content, to compare files
};

// An error only when the stream cannot be read or is none at all.
Result<View> inspect(wire::ByteSource& source, const Options& options);

} // namespace godwit::migration::inspect
