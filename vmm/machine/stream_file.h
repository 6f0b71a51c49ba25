// SPDX-License-Identifier: Apache-2.0
//
// The whole machine as a file: a complete stream in QEMU's format, RAM included. What is on the disks is not
// in it: they must be restored as they were when the guest was saved.
//
// Threads: as Guest::hold().
#pragma once

#include "migration/channel/cancel.h"
#include "migration/run_state.h"
#include "vmm/machine/guest.h"
#include "vmm/machine/stream_place.h"

#include <string>
#include <vector>

namespace godwit {

enum class AfterSave {
    GoOn, // the guest goes on
    Stay, // it stays held, and its disks are written back and let go: the process will end
};

// The guest stands still while the file is written. A regular file appears at once and whole; anything else
// (stream_place.h) is written to directly, and whoever reads it must not rest for long. On any error, and on
// a cancel, the guest goes on and no file is left; the error names the place.
Status save_stream(Guest& guest, StreamOutput output, AfterSave after, const migration::Cancel& cancel);

enum class ChangedDisks {
    Refuse,
    Take, // with a warning
};
// What does not keep a guest from going on here.
struct Tolerance {
    ChangedDisks changed_disks = ChangedDisks::Refuse;
    std::vector<std::string> accepted; // codes of reasons (migration/preflight/reason.h)
};

// Loads a stream that save_stream() or a QEMU 7.2 of the same board wrote: RAM first, then every section
// into scratch; when all of them are valid they are committed and the disks locked. The vCPUs become what the
// guest saw, which godwit's files tell, within what --cpu allows. Nothing runs. Says what the guest did when
// it was saved. An error names the place, the byte, the section and the field; a file that is damaged is
// InvalidInput, one that does not fit this machine Incompatible; so are disks
// that were written since, as far as the file knows. A stream that does not come, or
// that its writer does not close, is waited for until a cancel. Precondition: the machine never ran.
Result<migration::RunState> restore_stream(Guest& guest, StreamInput stream, const std::string& place,
                                           const Tolerance& tolerance = {});

} // namespace godwit
