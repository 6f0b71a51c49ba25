// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stream_file.h"

#include "migration/wire/global_state.h"
#include "migration/wire/ram_writer.h"
#include "migration/wire/stream_writer.h"

#include <algorithm>
#include <fcntl.h>

namespace godwit {

namespace {

bool is_zero(std::span<const std::byte> page) {
    return std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{}; });
}

Status write_ram(GuestMemory& memory, migration::wire::Sink& sink) {
    migration::wire::RamWriter writer{sink};
    TRY(writer.start(memory.size()));
    TRY(writer.begin_part());
    for (RamOffset at{0}; at.value < memory.size(); at.value += kPageSize) {
        const std::span<const std::byte> page{memory.host(at), kPageSize};
        TRY(is_zero(page) ? writer.zero_page(at) : writer.page(at, page));
    }
    TRY(writer.end_part());
    return writer.end();
}

Status write_stream(Machine& machine, migration::wire::FdSink& sink, migration::RunState state) {
    migration::wire::StreamWriter stream{sink};
    TRY(stream.begin());
    TRY(write_ram(machine.memory(), sink));
    for (StateSection* const section : machine.sections())
        TRY(stream.section(*section));
    migration::wire::GlobalStateSection global_state{state};
    TRY(stream.section(global_state));
    TRY(stream.end(true));
    return sink.flush();
}

} // namespace

Status save_stream(Machine& machine, const std::string& path) {
    migration::wire::FdSink sink{TRY(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600))};
    const auto state = machine.running() ? migration::RunState::Running : migration::RunState::Paused;
    TRY(machine.hold(Machine::Hold::Migration));
    Status written = write_stream(machine, sink, state);
    TRY(machine.release(Machine::Hold::Migration));
    return written;
}

} // namespace godwit
