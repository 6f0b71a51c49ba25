// SPDX-License-Identifier: Apache-2.0
//
// The JSON description at the end of a stream (QEMU's "vmdesc"), which lets a reader that does not know the
// devices walk their fields: migration/savevm.c, migration/vmstate.c and scripts/analyze-migration.py of QEMU
// 7.2. Pure functions.
#pragma once

#include "migration/state/description.h"
#include "migration/wire/stream_sums.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::migration::wire {

struct DescribedSection {
    std::string name;
    std::uint32_t instance;
    std::string record;
    std::uint32_t version;
    RecordDescription description;
};

// What is said of a guest beside its sections: each a JSON object, as whoever made it means it, or empty.
struct GuestNotes {
    std::string cpu;   // its processor
    std::string guest; // when it stopped, and what was in its disks then
    bool operator==(const GuestNotes&) const = default;
    bool empty() const { return cpu.empty() && guest.empty(); }
};

// What godwit adds for its own readers, under kNotesKey.
struct DescriptionNotes {
    std::span<const std::string> order; // the steps of saving, as they happened
    GuestNotes guest;
    std::optional<SavedSums> sums; // of the stream before the description
    bool empty() const { return order.empty() && guest.empty() && !sums.has_value(); }
};

// One line, no NUL. Elements of an array that look alike are described once, with `array_len`; a field name
// that repeats within a record gets the suffix "[k]".
std::string describe(const std::vector<DescribedSection>& sections, const DescriptionNotes& notes = {});

// DescriptionNotes::guest of a description. The text is hostile.
GuestNotes notes_in(std::string_view description);

// Offset of the description's item byte in `end`, the last bytes of a stream or all that lies behind RAM: it
// is the last thing in a stream. Nothing when there is none, or not all of it.
std::optional<std::size_t> find_description(std::span<const std::byte> end);

} // namespace godwit::migration::wire
