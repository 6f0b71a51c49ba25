// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/compare.h"
#include "migration/inspect/json.h"
#include "migration/inspect/values.h"
#include "vmm/base/json.h"

#include <fmt/core.h>

#include <algorithm>

namespace godwit::migration::inspect {

namespace {

std::string ranges_text(const RamDifference& difference) {
    constexpr std::size_t kShown = 8;
    std::string text;
    std::size_t shown = 0;
    for (const PageRange& range : difference.ranges) {
        if (shown++ == kShown)
            return text + "...";
        text += fmt::format("{}{:#x}-{:#x}", text.empty() ? "" : ", ", range.first * kPageBytes,
                            (range.first + range.count) * kPageBytes - 1);
    }
    return text;
}

} // namespace

std::string comparison_text(const Comparison& comparison, const std::string& first,
                            const std::string& second) {
    std::string out;
    const auto line = [&out](const std::string& text) { out += text + "\n"; };
    if (comparison.same()) {
        line(fmt::format("{} and {} are the same in {} fields and all of RAM", first, second,
                         comparison.fields));
        return out;
    }
    line(fmt::format("--- {}", first));
    line(fmt::format("+++ {}", second));
    std::size_t width = 0;
    std::size_t value = 0;
    for (const Difference& one : comparison.differences) {
        width = std::max(width, std::min<std::size_t>(one.field.size(), 44));
        value = std::max(value, std::min<std::size_t>(one.first.size(), 40));
    }
    const std::string* section = nullptr;
    for (const Difference& one : comparison.differences) {
        if (one.field.empty()) {
            line(fmt::format("\n{}: only in {}", one.section, one.second.empty() ? first : second));
            continue;
        }
        if (section == nullptr || *section != one.section) {
            section = &one.section;
            line(fmt::format("\n{}", one.section.empty() ? "stream" : one.section));
        }
        line(fmt::format("  {:<{}}  {:<{}}  {}", one.field, width, one.first.empty() ? "(absent)" : one.first,
                         value, one.second.empty() ? "(absent)" : one.second));
    }
    for (const RamDifference& one : comparison.ram)
        line(fmt::format("\nRAM block '{}': {} of {} pages differ ({}), at {}", one.block, one.differing,
                         one.pages, size_text(one.differing * kPageBytes), ranges_text(one)));
    line(fmt::format("\n{} differences in {} fields", comparison.differences.size(), comparison.fields));
    return out;
}

std::string comparison_json(const Comparison& comparison, const std::string& first,
                            const std::string& second) {
    const auto value = [](const std::string& text) { return text.empty() ? Json{} : Json{text}; };
    Json json{
        {"first", first}, {"second", second}, {"same", comparison.same()}, {"fields", comparison.fields}};
    json["differences"] = Json::array();
    for (const Difference& one : comparison.differences)
        json["differences"].push_back({{"section", one.section},
                                       {"field", one.field},
                                       {"first", value(one.first)},
                                       {"second", value(one.second)}});
    json["ram"] = Json::array();
    for (const RamDifference& one : comparison.ram) {
        Json ranges = Json::array();
        for (const PageRange& range : one.ranges)
            ranges.push_back({{"offset", range.first * kPageBytes}, {"size", range.count * kPageBytes}});
        json["ram"].push_back({{"block", one.block},
                               {"pages", one.pages},
                               {"differing", one.differing},
                               {"ranges", std::move(ranges)}});
    }
    return json_text(json, {.indent = 1, .ascii = true}) + "\n";
}

} // namespace godwit::migration::inspect
