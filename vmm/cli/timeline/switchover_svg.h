// SPDX-License-Identifier: Apache-2.0
//
// The downtime of a migration, as bars: its parts at the source and, beneath, at the destination. Pure.
#pragma once

#include "vmm/cli/timeline/chart.h"
#include "vmm/cli/timeline/timeline_data.h"

namespace godwit::cli {

inline constexpr double kSwitchoverHeight = 168;

void draw_switchover(Svg& svg, const TimelineData::Switchover& switchover, const Chart::Box& box);

} // namespace godwit::cli
