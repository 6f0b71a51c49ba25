// SPDX-License-Identifier: Apache-2.0
//
// Reads a stream in QEMU's container into the scratch of the local sections. The order of items is a strict
// state machine; every section is looked up by name and instance in the local list; an unknown, repeated or
// missing one is an error that names it. Nothing is committed here. One thread.
#pragma once

#include "migration/run_state.h"
#include "migration/state/section.h"
#include "migration/wire/description_json.h"
#include "migration/wire/format.h"
#include "migration/wire/global_state.h"
#include "migration/wire/input.h"
#include "migration/wire/ram_reader.h"
#include "migration/wire/stream_sums.h"

#include <span>
#include <string>
#include <vector>

namespace godwit::migration::wire {

// What to do with the rest of a stream that is refused.
enum class AfterRefusal {
    Leave,  // a peer that writes it sees at once that nobody wants it, and keeps its guest
    ReadOn, // to tell from the check sums at its end whether it was damaged
};

class StreamReader {
  public:
    // All must outlive the reader. Without `ram` a RAM section is an error, with it a missing one is; a
    // stream with RAM is compared with the check sums in its description, when it has any.
    StreamReader(Input& in, std::span<StateSection* const> sections, RamTarget* ram, OrderTrace* trace,
                 AfterRefusal after_refusal = AfterRefusal::Leave);

    // The whole stream, up to its end. On an error the scratch of all sections is discarded. A stream that is
    // damaged is Corrupt, whatever it looked like; the error names the bytes and what they hold.
    Result<RunState> load();
    // How far load() came, for error texts: behind what was read last. Not of use where load() names bytes.
    std::uint64_t position() const { return failed_at_.value_or(in_.offset() + body_read_); }

    // What the description says of the guest; empty where the stream is damaged. After load(); of a stream
    // that was refused only if it was read on.
    const GuestNotes& notes() const { return notes_; }

    // What the guest is booted with; null where that is not in the stream. After load().
    const BootSourcePtr& boot_source() const { return boot_; }

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
    Status check_sums(std::string_view description);
    Error explained(Error fault);
    Result<std::vector<ByteRange>> damage_in_rest();
    std::string damage_text(const std::vector<ByteRange>& ranges) const;
    std::string content_text(const ByteRange& range) const;

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
        ByteRange place{}; // in the stream, once it was found there
    };

    Input& in_;
    std::size_t body_read_ = 0; // of the section body that is being read
    std::vector<Slot> slots_;
    GlobalStateSection global_state_;
    std::optional<RamReader> ram_;
    RamPhase ram_phase_ = RamPhase::None;
    std::uint32_t ram_id_ = 0;
    OrderTrace* trace_;
    AfterRefusal after_refusal_;
    StreamSums sums_;
    std::uint64_t ram_size_ = 0;
    std::uint64_t ram_end_ = 0; // in the stream, as far as it was read
    bool damage_told_ = false;  // the sums were compared
    std::optional<std::uint64_t> failed_at_;
    GuestNotes notes_;
    BootSourcePtr boot_;
};

} // namespace godwit::migration::wire
