// SPDX-License-Identifier: Apache-2.0
//
// What was found in a stream, for people and for programs. Pure functions.
#pragma once

#include "migration/inspect/view.h"

#include <functional>
#include <string>
#include <string_view>

namespace godwit::migration::inspect {

// What a value means, beside it: "ACKNOWLEDGE, DRIVER". Empty when there is nothing to say.
using Explain = std::function<std::string(const Section&, const std::string& path, std::uint64_t value)>;

struct Listing {
    std::string file;   // how the stream is called
    bool fields = true; // every field, not only the sections
    std::string only;   // sections whose name contains this; empty for all
    bool order = false; // the steps of saving instead of fields
    Explain explain = nullptr;
};

std::string render_text(const View& view, const Listing& listing);

// One object, with every field. Numbers are numbers; buffers are hexadecimal, without the zeros at their end.
std::string render_json(const View& view, const Listing& listing);

} // namespace godwit::migration::inspect
