// SPDX-License-Identifier: Apache-2.0
//
// What a client of the control socket sends: cut into values, parsed, and taken as parameters and
// capabilities of a migration. Commands that want a machine are not reached.
#include "vmm/base/fuzz.h"
#include "vmm/base/json.h"
#include "vmm/control/json_stream.h"
#include "vmm/control/migration_capabilities.h"
#include "vmm/control/migration_parameters.h"

namespace {

using namespace godwit;
using namespace godwit::control;

void request(const std::string& text) {
    const Json parsed = parse_json(text);
    if (parsed.is_discarded())
        return;
    fuzz::require(parse_json(json_text(parsed, {.ascii = true})) == parsed,
                  "an answer repeats what was read");
    if (!parsed.is_object())
        return;
    migration::Parameters parameters;
    const auto arguments = parsed.find("arguments");
    if (arguments == parsed.end() || !arguments->is_object())
        return;
    const migration::Parameters before = parameters;
    if (set_parameters(parameters, *arguments, false).ok()) {
        migration::Parameters again;
        fuzz::require(set_parameters(again, to_json(parameters), false).ok() && again == parameters,
                      "what can be set can be set again");
    } else
        fuzz::require(parameters == before, "all parameters are set, or none");
    if (const auto list = arguments->find("capabilities"); list != arguments->end())
        if (const auto values = parameters_for(*list, parameters); values.ok())
            fuzz::require(set_parameters(parameters, *values, false).ok(), "capabilities are parameters");
    for (const auto& [name, value] : arguments->items())
        if (const auto found = find_migration_parameter(name); found.ok() && value.is_string())
            (void)(*found)->parse(value.get_ref<const std::string&>());
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    return {}; // text
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = fuzz::text_of(std::as_bytes(std::span{data, size}));
    JsonStream whole;
    whole.append(text);
    std::vector<std::string> values;
    while (auto value = whole.next())
        values.push_back(std::move(*value));
    for (const std::string& value : values)
        request(value);
    if (whole.too_long())
        return 0;
    // Byte by byte, as a slow client sends.
    JsonStream parts;
    std::size_t count = 0;
    for (const char byte : text) {
        parts.append({&byte, 1});
        while (const auto value = parts.next())
            fuzz::require(count < values.size() && values[count++] == *value, "pieces make no difference");
    }
    fuzz::require(count == values.size() && parts.size() == whole.size(), "pieces make no difference");
    return 0;
}
