// SPDX-License-Identifier: Apache-2.0
//
// The pages of one RAM block in two streams, by the keys of their content. Pure functions.
#pragma once

#include "migration/inspect/compare.h"

namespace godwit::migration::inspect {

// Only the counts and ranges of the result are set.
RamDifference compare_pages(const Ram& first, const Ram& second, const std::string& block);

} // namespace godwit::migration::inspect
