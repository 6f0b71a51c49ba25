// SPDX-License-Identifier: Apache-2.0
//
// Reads a stream in QEMU's container into the scratch of the local sections. The order of items is a strict
// state machine; every section is looked up by name and instance in the local list; an unknown, repeated or
// missing one is an error that names it. Nothing is committed here. One thread.
#pragma once

#include "migration/run_state.h"
#include "migration/state/section.h"
#include "migration/wire/format.h"
#include "migration/wire/global_state.h"
#include "migration/wire/input.h"
#include "migration/wire/ram_reader.h"

#include <span>
#include <vector>

namespace godwit::migration::wire {

class StreamReader {
  public:
    // All must outlive the reader. Without `ram` a RAM section is an error, with it a missing one is.
    StreamReader(Input& in, std::span<StateSection* const> sections, RamTarget* ram, OrderTrace* trace);

    // The whole stream, up to its end. On an error the scratch of all sections is discarded.
    Result<RunState> load();
    // How far load() came, for error texts: behind what was read last.
    std::uint64_t position() const { return in_.offset() + body_read_; }

  private:
    enum class RamPhase { None, Started, Complete };

    Result<RunState> items();
    Status configuration();
    Status configuration_subsection();
    Status start_ram();
    Status continue_ram(Item item);
    Status full_section();
    Status footer(std::uint32_t id, const std::string& label);
    Status description();
    Status check_complete() const;

    struct Header {
        std::uint32_t id;
        std::string name;
        std::uint32_t instance;
        std::uint32_t version;
    };
    Result<Header> section_header();

    struct Slot {
        StateSection* section;
        SectionId id;
        bool loaded = false;
    };

    Input& in_;
    std::size_t body_read_ = 0; // of the section body that is being read
    std::vector<Slot> slots_;
    GlobalStateSection global_state_;
    std::optional<RamReader> ram_;
    RamPhase ram_phase_ = RamPhase::None;
    std::uint32_t ram_id_ = 0;
    OrderTrace* trace_;
};

} // namespace godwit::migration::wire
