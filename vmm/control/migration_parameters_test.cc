// SPDX-License-Identifier: Apache-2.0
//
// The table of migration parameters: what it says holds for every entry, and what is wrong is named.
#include "vmm/control/migration_parameters.h"

#include "vmm/base/json.h"

#include <catch2/catch.hpp>

#include <set>

using namespace godwit;
using namespace godwit::control;
using godwit::migration::Parameters;

namespace {

// Values beyond the range, as JSON.
std::vector<Json> values_out_of_range(const MigrationParameter& parameter) {
    switch (parameter.type) {
    case ParameterType::Integer:
    case ParameterType::Size: {
        std::vector<Json> wrong{
            parameter.least - 1, 1.5, "many", true, nullptr, std::uint64_t{0xffff'ffff'ffff'ffff}};
        if (parameter.most < std::numeric_limits<std::int64_t>::max())
            wrong.emplace_back(parameter.most + 1);
        return wrong;
    }
    case ParameterType::Boolean:
        return {1, "on", nullptr};
    case ParameterType::Choice:
        return {"neither", 0, nullptr};
    case ParameterType::Text:
    case ParameterType::Path:
        return {1, nullptr};
    }
    return {};
}

std::vector<Json> values_in_range(const MigrationParameter& parameter) {
    switch (parameter.type) {
    case ParameterType::Integer:
    case ParameterType::Size:
        return {parameter.least, parameter.most};
    case ParameterType::Boolean:
        return {true, false};
    case ParameterType::Choice:
        return {parameter.choices.begin(), parameter.choices.end()};
    case ParameterType::Text:
    case ParameterType::Path:
        return {"", "some text"};
    }
    return {};
}

Json one(const MigrationParameter& parameter, const Json& value) {
    return {{std::string{parameter.name}, value}};
}

} // namespace

TEST_CASE("every parameter has a name, an option, a meaning and a default in range", "[parameters]") {
    std::set<std::string_view> names;
    std::set<std::string_view> options;
    for (const MigrationParameter& parameter : migration_parameters()) {
        CAPTURE(parameter.name);
        REQUIRE(names.insert(parameter.name).second);
        REQUIRE(options.insert(parameter.option).second);
        REQUIRE_FALSE(parameter.meaning.empty());
        Parameters parameters;
        REQUIRE(set_parameters(parameters, one(parameter, parameter.default_value()), true).ok());
        REQUIRE(parameters == Parameters{});
        REQUIRE(find_migration_parameter(parameter.name).value() == &parameter);
    }
    REQUIRE(to_json(Parameters{}).size() == names.size());
}

TEST_CASE("a value in range is kept, and no other parameter changes", "[parameters]") {
    for (const MigrationParameter& parameter : migration_parameters()) {
        for (const Json& value : values_in_range(parameter)) {
            CAPTURE(parameter.name, json_text(value));
            Parameters parameters;
            REQUIRE(set_parameters(parameters, one(parameter, value), false).ok());
            Json expected = to_json(Parameters{});
            expected[std::string{parameter.name}] = value;
            REQUIRE(to_json(parameters) == expected);
        }
    }
}

TEST_CASE("a value out of range is refused with name, value and range, and nothing changes", "[parameters]") {
    for (const MigrationParameter& parameter : migration_parameters()) {
        for (const Json& value : values_out_of_range(parameter)) {
            CAPTURE(parameter.name, json_text(value));
            Parameters parameters;
            parameters.downtime_limit = std::chrono::milliseconds{77};
            const Parameters before = parameters;
            Json values{{"downtime-limit", 78}};
            values[std::string{parameter.name}] = value;
            const Status status = set_parameters(parameters, values, false);
            REQUIRE_FALSE(status.ok());
            REQUIRE(status.error().code == ErrorCode::InvalidInput);
            for (const std::string& part :
                 {fmt::format("'{}'", parameter.name), json_text(value), parameter.range()})
                REQUIRE_THAT(status.error().text, Catch::Contains(part));
            REQUIRE(parameters == before);
        }
    }
}

TEST_CASE("a parameter that there is not is named, and so are those that there are", "[parameters]") {
    Parameters parameters;
    const Status status = set_parameters(parameters, {{"downtime", 1}}, false);
    REQUIRE_THAT(status.error().text, Catch::Contains("'downtime'"));
    for (const MigrationParameter& parameter : migration_parameters())
        REQUIRE_THAT(status.error().text, Catch::Contains(std::string{parameter.name}));
}

TEST_CASE("what cannot change while a migration runs is refused then", "[parameters]") {
    for (const MigrationParameter& parameter : migration_parameters()) {
        for (const Json& value : values_in_range(parameter)) {
            CAPTURE(parameter.name, json_text(value));
            Parameters parameters;
            const Status status = set_parameters(parameters, one(parameter, value), true);
            REQUIRE(status.ok() == (parameter.while_running || value == parameter.default_value()));
        }
    }
}

TEST_CASE("a typed value becomes the one that it means", "[parameters]") {
    for (const MigrationParameter& parameter : migration_parameters()) {
        CAPTURE(parameter.name);
        switch (parameter.type) {
        case ParameterType::Size:
            REQUIRE(parameter.parse("1M").value() == 1 << 20);
            REQUIRE_THAT(parameter.parse("1 mile").error().text, Catch::Contains("'1 mile'"));
            break;
        case ParameterType::Integer:
            REQUIRE(parameter.parse("12").value() == 12);
            for (const auto* typed : {"", "-1", "1x", "0x10", "99999999999999999999"})
                REQUIRE_THAT(parameter.parse(typed).error().text,
                             Catch::Contains(fmt::format("'{}'", parameter.name)) &&
                                 Catch::Contains(fmt::format("'{}'", typed)));
            break;
        case ParameterType::Boolean:
            REQUIRE(parameter.parse("on").value() == true);
            REQUIRE(parameter.parse("off").value() == false);
            REQUIRE_FALSE(parameter.parse("maybe").ok());
            break;
        case ParameterType::Choice:
        case ParameterType::Text:
            REQUIRE(parameter.parse("word").value() == "word");
            break;
        case ParameterType::Path:
            REQUIRE(parameter.parse("/a/path").value() == "/a/path");
            REQUIRE(parameter.parse("path").value().get<std::string>().ends_with("/path"));
            REQUIRE(parameter.parse("path").value().get<std::string>().front() == '/');
            break;
        }
    }
}
