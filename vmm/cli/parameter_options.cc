// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/parameter_options.h"

#include "vmm/base/json.h"

namespace godwit::cli {

namespace {

std::string help_text(const control::MigrationParameter& parameter) {
    const control::Json value = parameter.default_value();
    std::string initial = value.is_string() ? value.get<std::string>() : json_text(value);
    if (parameter.type == control::ParameterType::Boolean)
        initial = value.get<bool>() ? "on" : "off";
    std::string text = fmt::format("{}: {}", parameter.meaning, parameter.range());
    return initial.empty() ? text : text + fmt::format(" (default {})", initial);
}

} // namespace

void ParameterOptions::add_to(CLI::App& app) {
    for (const control::MigrationParameter& parameter : control::migration_parameters()) {
        const std::string name = fmt::format("--{}", parameter.option);
        std::string& typed = typed_[&parameter];
        // A flag may stand alone, and never swallows the address behind it: --verify, --verify=off.
        CLI::Option* const option = parameter.type == control::ParameterType::Boolean
                                        ? app.add_flag(name, typed, help_text(parameter))
                                        : app.add_option(name, typed, help_text(parameter));
        option->group("Parameters of this migration");
    }
}

Result<control::Json> ParameterOptions::values() const {
    control::Json values = control::Json::object();
    for (const auto& [parameter, typed] : typed_) {
        if (!typed.empty())
            values[std::string{parameter->name}] = TRY(parameter->parse(typed));
    }
    return values;
}

} // namespace godwit::cli
