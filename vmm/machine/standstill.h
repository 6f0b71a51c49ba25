// SPDX-License-Identifier: Apache-2.0
//
// What was so when a guest stopped, and travels beside its sections: the time, and in a file also what its
// disks held. As text a JSON object, which stands in a stream's description (migration/wire). Values; pure
// functions.
#pragma once

#include "vmm/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit {

// Tells one content of a disk from a later one: every write changes it. A block device has no time of its own
// that does.
struct DiskContent {
    std::string id;
    std::uint64_t bytes = 0;
    std::optional<std::int64_t> modified; // of its file, ns since 1970
    bool operator==(const DiskContent&) const = default;
};

struct Standstill {
    std::optional<std::int64_t> stopped_at; // by the host's clock, ns since 1970
    std::vector<DiskContent> disks;
    bool operator==(const Standstill&) const = default;
};

std::string to_json(const Standstill& standstill);
// The text is hostile. Nothing is known when it is empty. InvalidInput says what is wrong.
Result<Standstill> parse_standstill(std::string_view text);

// Why the disks of now are not those of then: an error that names them all. Those that only one side has are
// not looked at.
Status check_unchanged(const std::vector<DiskContent>& then, const std::vector<DiskContent>& now);

} // namespace godwit
