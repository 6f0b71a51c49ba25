// SPDX-License-Identifier: Apache-2.0
//
// Text to JSON and back, compiled once: the parser and the writer are the costly part of the JSON library.
// Pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace godwit {

// is_discarded() when the text is not JSON.
nlohmann::json parse_json(std::string_view text);
// Keys stay in their order; finding one takes a walk, so only for texts of bounded size.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

struct JsonStyle {
    int indent = -1;    // blanks a level; below zero: all in one line
    bool ascii = false; // what is not ASCII as \u....
};

// A string that is not UTF-8 is shown as far as it goes: it may come from outside.
std::string json_text(const nlohmann::json& value, JsonStyle style = {});
std::string json_text(const nlohmann::ordered_json& value, JsonStyle style = {});

} // namespace godwit
