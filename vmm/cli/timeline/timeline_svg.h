// SPDX-License-Identifier: Apache-2.0
//
// A migration's timeline as a picture for people: bytes and rates over time, phases as bands, and the
// downtime with its parts. Pure.
#pragma once

#include "vmm/cli/timeline/timeline_data.h"

#include <string>

namespace godwit::cli {

std::string draw_timeline(const TimelineData& data);

} // namespace godwit::cli
