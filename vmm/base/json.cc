// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/json.h"

#include <nlohmann/json.hpp>

namespace godwit {

nlohmann::json parse_json(std::string_view text) {
    return nlohmann::json::parse(text, nullptr, false);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text) {
    return nlohmann::ordered_json::parse(text, nullptr, false);
}

std::string json_text(const nlohmann::json& value, JsonStyle style) {
    return value.dump(style.indent, ' ', style.ascii, nlohmann::json::error_handler_t::replace);
}

std::string json_text(const nlohmann::ordered_json& value, JsonStyle style) {
    return value.dump(style.indent, ' ', style.ascii, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace godwit
