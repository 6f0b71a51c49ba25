// SPDX-License-Identifier: Apache-2.0
//
// Device state as one buffer: a stream without a RAM section. Between two godwits RAM travels beside it.
#pragma once

#include "migration/run_state.h"
#include "migration/state/section.h"
#include "migration/wire/stream_writer.h"

#include <cstddef>
#include <span>
#include <vector>

namespace godwit::migration::wire {

// Precondition: the machine is paused. The run state is what the guest did before.
Result<std::vector<std::byte>> save_state(std::span<StateSection* const> sections, RunState state,
                                          OrderTrace& trace, Description description = Description::Whole,
                                          GuestNotes notes = {});

struct LoadedState {
    RunState run_state;
    GuestNotes notes;
};
// Into the scratch of the sections; StateSection::commit_load() makes it live. On an error all scratch is
// discarded.
Result<LoadedState> load_state(std::span<const std::byte> bytes, std::span<StateSection* const> sections,
                               OrderTrace& trace);

} // namespace godwit::migration::wire
