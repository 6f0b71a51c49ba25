// SPDX-License-Identifier: Apache-2.0
//
// Writes a stream in QEMU's container: header and configuration, then in this order an optional RAM section
// (RamWriter), the device sections, the end and the description. One thread; the machine is paused.
#pragma once

#include "migration/state/section.h"
#include "migration/wire/description_json.h"
#include "migration/wire/format.h"
#include "migration/wire/sink.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::migration::wire {

// What follows the end.
enum class Description {
    None,
    Notes, // what a reader of godwit acts on, and no more
    Whole, // every field and the steps of saving, for people and QEMU's tools
};

class StreamWriter {
  public:
    // Both must outlive the writer; `trace` may be null. The description tells its steps.
    explicit StreamWriter(Sink& sink, OrderTrace* trace = nullptr) : sink_(sink), trace_(trace) {}

    // Magic, version, configuration.
    Status begin(std::string_view machine = kMachineName);
    // One FULL section with its footer; nothing when the section is not needed.
    Status section(StateSection& section);
    // For the description.
    void note(GuestNotes notes) { notes_ = std::move(notes); }
    // With `sums`, which has seen all that was written (the sink of this writer, then): they go into the
    // description.
    Status end(Description description, SummingSink* sums = nullptr);

  private:
    Sink& sink_;
    OrderTrace* trace_;
    std::uint32_t last_id_ = 0;
    GuestNotes notes_;
    std::vector<DescribedSection> described_;
};

// How a trace and an error text name a section: "timer", "cpu#1".
std::string section_label(std::string_view name, std::uint32_t instance);

} // namespace godwit::migration::wire
