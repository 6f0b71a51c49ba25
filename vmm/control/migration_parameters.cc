// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/migration_parameters.h"

#include "vmm/base/json.h"
#include "vmm/machine/config/key_values.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <utility>

namespace godwit::control {

namespace {

using migration::Parameters;

enum class Change { BeforeOnly, WhileRunning };

template <auto Member>
using MemberType = std::remove_reference_t<decltype(std::declval<Parameters&>().*Member)>;

template <class T>
concept Duration = requires(T value) {
    value.count();
};

template <auto Member>
constexpr std::int64_t get_member(const Parameters& parameters) {
    if constexpr (Duration<MemberType<Member>>)
        return (parameters.*Member).count();
    else
        return static_cast<std::int64_t>(parameters.*Member);
}

template <auto Member>
constexpr void set_member(Parameters& parameters, std::int64_t value) {
    parameters.*Member = static_cast<MemberType<Member>>(value);
}

template <auto Member>
constexpr MigrationParameter entry(std::string_view name, ParameterType type, std::string_view unit,
                                   Change change, std::string_view meaning) {
    MigrationParameter made{name, name, type, unit, meaning, change == Change::WhileRunning};
    made.get = get_member<Member>;
    made.set = set_member<Member>;
    return made;
}

template <auto Member>
constexpr MigrationParameter integer(std::string_view name, std::string_view unit, std::int64_t least,
                                     std::int64_t most, Change change, std::string_view meaning) {
    MigrationParameter made = entry<Member>(name, ParameterType::Integer, unit, change, meaning);
    made.least = least;
    made.most = most;
    return made;
}

template <auto Member>
constexpr MigrationParameter size(std::string_view name, std::int64_t least, std::int64_t most, Change change,
                                  std::string_view meaning) {
    MigrationParameter made = entry<Member>(name, ParameterType::Size, "bytes/s", change, meaning);
    made.least = least;
    made.most = most;
    return made;
}

template <auto Member>
constexpr MigrationParameter choice(std::string_view name, std::span<const std::string_view> words,
                                    Change change, std::string_view meaning) {
    MigrationParameter made = entry<Member>(name, ParameterType::Choice, "", change, meaning);
    made.choices = words;
    return made;
}

constexpr MigrationParameter text(std::string_view name, ParameterType type,
                                  std::string& (*member)(Parameters&), std::string_view meaning) {
    MigrationParameter made{name, name, type, "", meaning, false};
    made.text = member;
    return made;
}

constexpr MigrationParameter as_option(std::string_view option, MigrationParameter made) {
    made.option = option;
    return made;
}

// The table. `meaning` continues "--option VALUE  ...".
constexpr std::array kTable{
    integer<&Parameters::downtime_limit>("downtime-limit", "ms", 1, 2'000'000, Change::WhileRunning,
                                         "how long the guest may stand still at the end"),
    integer<&Parameters::peer_timeout>("peer-timeout", "s", 1, 3600, Change::BeforeOnly,
                                       "how long the destination may say nothing before the migration fails"),
    integer<&Parameters::doubt_timeout>(
        "doubt-timeout", "s", 0, 3600, Change::WhileRunning,
        "how long a source that does not know the outcome asks before it reports that it is in doubt"),
    entry<&Parameters::pause_before_switchover>(
        "pause-before-switchover", ParameterType::Boolean, "", Change::WhileRunning,
        "pause the guest when it could be handed over, and wait for `godwit migrate-continue`"),
    choice<&Parameters::on_stall>("on-stall", migration::kOnStallNames, Change::WhileRunning,
                                  "what to do when rounds bring no progress: slow the guest down, pause it "
                                  "and exceed the downtime limit, or leave it where it is"),
    choice<&Parameters::on_reset>("on-reset", migration::kOnResetNames, Change::WhileRunning,
                                  "what becomes of the migration when the guest is reset meanwhile"),
    integer<&Parameters::timeout>("timeout", "s", 0, 31'536'000, Change::WhileRunning,
                                  "cancel a migration that takes longer; 0: however long it takes"),
    integer<&Parameters::throttle_initial>(
        "cpu-throttle-initial", "%", 1, 99, Change::WhileRunning,
        "of the time, for which a guest that is slowed stands still at first"),
    integer<&Parameters::throttle_increment>("cpu-throttle-increment", "%", 1, 99, Change::WhileRunning,
                                             "by how much more with each step"),
    integer<&Parameters::throttle_maximum>("max-cpu-throttle", "%", 1, 99, Change::WhileRunning, "at most"),
    text(
        "tls-certs", ParameterType::Path, [](Parameters& p) -> std::string& { return p.tls.x509_folder; },
        "go through TLS with the certificates in this folder: ca-cert.pem, client-cert.pem, client-key.pem"),
    text(
        "tls-psk", ParameterType::Path, [](Parameters& p) -> std::string& { return p.tls.psk_file; },
        "go through TLS with a key that both sides have: a file with a line IDENTITY:HEXKEY"),
    text(
        "tls-identity", ParameterType::Text, [](Parameters& p) -> std::string& { return p.tls.identity; },
        "the line of that file"),
    text(
        "tls-hostname", ParameterType::Text, [](Parameters& p) -> std::string& { return p.tls.host; },
        "the name that the destination's certificate must have, when it is not that of the address"),
    as_option("connections",
              integer<&Parameters::connections>("multifd-channels", "", 1, migration::kMaxConnections,
                                                Change::BeforeOnly, "over how many connections RAM goes")),
    size<&Parameters::max_bandwidth>("max-bandwidth", 0, std::int64_t{1} << 40, Change::WhileRunning,
                                     "bytes a second that all connections together send while the guest "
                                     "runs; 0: as many as they can"),
    as_option("compress",
              choice<&Parameters::compression>("multifd-compression", migration::kCompressionNames,
                                               Change::BeforeOnly, "how pages are compressed")),
    entry<&Parameters::verify>("verify", ParameterType::Boolean, "", Change::BeforeOnly,
                               "compare all of RAM on both sides while the guest is paused"),
};

std::string joined(std::span<const std::string_view> words, std::string_view last) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i != 0)
            text += i + 1 == words.size() ? last : std::string_view{", "};
        text += words[i];
    }
    return text;
}

Error wrong(const MigrationParameter& parameter, std::string_view value) {
    return invalid_input("migration parameter '{}': {} is not {}", parameter.name, value, parameter.range());
}

Status set_number(const MigrationParameter& parameter, Parameters& parameters, const Json& value) {
    // A number beyond 63 bits is none that is in range.
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max()
                          : value.is_number_integer();
    if (!fits || value.get<std::int64_t>() < parameter.least || value.get<std::int64_t>() > parameter.most)
        return wrong(parameter, json_text(value));
    parameter.set(parameters, value.get<std::int64_t>());
    return {};
}

Status set_choice(const MigrationParameter& parameter, Parameters& parameters, const Json& value) {
    const auto found = value.is_string() ? std::ranges::find(parameter.choices, value.get<std::string>())
                                         : parameter.choices.end();
    if (found == parameter.choices.end())
        return wrong(parameter, json_text(value));
    parameter.set(parameters, found - parameter.choices.begin());
    return {};
}

Status set_one(const MigrationParameter& parameter, Parameters& parameters, const Json& value) {
    switch (parameter.type) {
    case ParameterType::Integer:
    case ParameterType::Size:
        return set_number(parameter, parameters, value);
    case ParameterType::Choice:
        return set_choice(parameter, parameters, value);
    case ParameterType::Boolean:
        if (!value.is_boolean())
            return wrong(parameter, json_text(value));
        parameter.set(parameters, value.get<bool>() ? 1 : 0);
        return {};
    case ParameterType::Text:
    case ParameterType::Path:
        if (!value.is_string())
            return wrong(parameter, json_text(value));
        parameter.text(parameters) = value.get<std::string>();
        return {};
    }
    return {};
}

} // namespace

Json MigrationParameter::value_in(const Parameters& parameters) const {
    switch (type) {
    case ParameterType::Integer:
    case ParameterType::Size:
        return get(parameters);
    case ParameterType::Boolean:
        return get(parameters) != 0;
    case ParameterType::Choice:
        return choices[static_cast<std::size_t>(get(parameters))];
    case ParameterType::Text:
    case ParameterType::Path:
        return text(const_cast<Parameters&>(parameters));
    }
    return {};
}

std::string MigrationParameter::range() const {
    switch (type) {
    case ParameterType::Integer:
    case ParameterType::Size:
        return fmt::format("{} to {}{}{}", least, most, unit.empty() ? "" : " ", unit);
    case ParameterType::Boolean:
        return "on or off";
    case ParameterType::Choice:
        return joined(choices, " or ");
    case ParameterType::Text:
        return "text";
    case ParameterType::Path:
        return "a path";
    }
    return {};
}

Result<Json> MigrationParameter::parse(std::string_view typed) const {
    switch (type) {
    case ParameterType::Integer: {
        const auto number = parse_number(name, typed, 0, std::numeric_limits<std::int64_t>::max());
        return number.ok() ? Result<Json>{*number} : wrong(*this, fmt::format("'{}'", typed));
    }
    case ParameterType::Size: {
        const auto size = parse_size(name, typed);
        return size.ok() ? Result<Json>{*size} : wrong(*this, fmt::format("'{}'", typed));
    }
    case ParameterType::Boolean:
        if (typed == "on" || typed == "true" || typed == "yes")
            return Json(true);
        if (typed == "off" || typed == "false" || typed == "no")
            return Json(false);
        return wrong(*this, fmt::format("'{}'", typed));
    case ParameterType::Choice:
    case ParameterType::Text:
        return Json(typed);
    case ParameterType::Path:
        return Json(std::filesystem::absolute(typed).string());
    }
    return Json{};
}

std::span<const MigrationParameter> migration_parameters() {
    return kTable;
}

Result<const MigrationParameter*> find_migration_parameter(std::string_view name) {
    if (const auto found = std::ranges::find(kTable, name, &MigrationParameter::name); found != kTable.end())
        return &*found;
    std::vector<std::string_view> names;
    for (const MigrationParameter& parameter : kTable)
        names.push_back(parameter.name);
    return invalid_input("there is no migration parameter '{}'; there are {}", name, joined(names, " and "));
}

Json to_json(const Parameters& parameters) {
    Json values = Json::object();
    for (const MigrationParameter& parameter : kTable)
        values[std::string{parameter.name}] = parameter.value_in(parameters);
    return values;
}

Status set_parameters(Parameters& parameters, const Json& values, bool running) {
    Parameters changed = parameters;
    for (const auto& [name, value] : values.items()) {
        const MigrationParameter& parameter = *TRY(find_migration_parameter(name));
        TRY(set_one(parameter, changed, value));
        if (running && !parameter.while_running &&
            parameter.value_in(changed) != parameter.value_in(parameters))
            return invalid_input(
                "migration parameter '{}' cannot change to {} while a migration runs; it is {}", name,
                json_text(value), json_text(parameter.value_in(parameters)));
    }
    parameters = std::move(changed);
    return {};
}

} // namespace godwit::control
