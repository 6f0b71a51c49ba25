// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/save_load.h"

#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_writer.h"

namespace godwit::migration::wire {

Result<std::vector<std::byte>> save_state(std::span<StateSection* const> sections, RunState state,
                                          OrderTrace& trace, Description description, GuestNotes notes) {
    BufferSink sink;
    StreamWriter writer{sink, &trace};
    TRY(writer.begin());
    for (StateSection* const section : sections)
        TRY(writer.section(*section));
    GlobalStateSection global_state{state};
    TRY(writer.section(global_state));
    writer.note(std::move(notes));
    TRY(writer.end(description));
    return sink.take();
}

Result<LoadedState> load_state(std::span<const std::byte> bytes, std::span<StateSection* const> sections,
                               OrderTrace& trace) {
    if (bytes.size() > kMaxStateBytes)
        return corrupt("device state of {} bytes, at most {} can be", bytes.size(), kMaxStateBytes);
    Input in{bytes};
    StreamReader reader{in, sections, nullptr, &trace};
    const RunState run_state = TRY(reader.load());
    return LoadedState{run_state, reader.notes()};
}

} // namespace godwit::migration::wire
