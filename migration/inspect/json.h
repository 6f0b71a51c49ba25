// SPDX-License-Identifier: Apache-2.0
//
// JSON for the sources of this folder: keys stay in the order in which they were set.
#pragma once

#include "migration/inspect/view.h"

#include <nlohmann/json.hpp>

namespace godwit::migration::inspect {

using Json = nlohmann::ordered_json;

// A number, a truth value, a list of numbers, or hexadecimal digits.
Json value_json(const View& view, const Field& field);

} // namespace godwit::migration::inspect
