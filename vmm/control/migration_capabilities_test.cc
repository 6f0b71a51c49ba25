// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/migration_capabilities.h"

#include "vmm/control/migration_parameters.h"

#include <catch2/catch.hpp>

using namespace godwit;
using namespace godwit::control;
using Catch::Matchers::Contains;

namespace {

Json one(std::string_view name, bool state) {
    return {{"capability", name}, {"state", state}};
}

bool state_of(const migration::Parameters& parameters, std::string_view name) {
    for (const Json& entry : capabilities_of(parameters))
        if (entry["capability"] == name)
            return entry["state"];
    FAIL("there is no capability " << name);
    return false;
}

} // namespace

TEST_CASE("every capability may be switched off, and those that are on stay as they are", "[capabilities]") {
    migration::Parameters parameters;
    Json all = capabilities_of(parameters);
    REQUIRE(all.size() == 21); // QEMU 7.2's
    REQUIRE(parameters_for(all, parameters).ok());
    for (Json& entry : all)
        entry["state"] = false;
    const auto values = parameters_for(all, parameters);
    REQUIRE(values.ok());
    REQUIRE(set_parameters(parameters, *values, false).ok());
    CHECK_FALSE(state_of(parameters, "auto-converge"));
    CHECK(state_of(parameters, "events")); // they come anyway
}

TEST_CASE("a capability that is a parameter here sets it", "[capabilities]") {
    for (const std::string_view name : {"pause-before-switchover", "multifd", "auto-converge"}) {
        migration::Parameters parameters;
        for (const bool state : {true, false, true}) {
            const auto values = parameters_for(Json::array({one(name, state)}), parameters);
            REQUIRE(values.ok());
            REQUIRE(set_parameters(parameters, *values, false).ok());
            CHECK(state_of(parameters, name) == state);
        }
    }
    migration::Parameters parameters;
    parameters.connections = 7;
    CHECK(parameters_for(Json::array({one("multifd", true)}), parameters)->empty()); // their number is kept
}

TEST_CASE("what is not to be had is refused by name", "[capabilities]") {
    const migration::Parameters now;
    CHECK_THAT(parameters_for(Json::array({one("events", true), one("xbzrle", true)}), now).error().text,
               Contains("'xbzrle'") && Contains("not available"));
    CHECK_THAT(parameters_for(Json::array({one("faster", false)}), now).error().text, Contains("\"faster\""));
    for (const Json& wrong : {Json(7), Json::object(), Json{{"capability", "events"}, {"state", 1}}})
        CHECK_FALSE(parameters_for(Json::array({wrong}), now).ok());
}
