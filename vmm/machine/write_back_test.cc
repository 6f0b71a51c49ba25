// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/write_back.h"

#include <catch2/catch.hpp>
#include <future>
#include <optional>

using namespace godwit;
using namespace std::chrono_literals;

namespace {
constexpr auto kLong = 60s;
} // namespace

TEST_CASE("a pass is begun once, waited for in parts, and told once") {
    std::promise<Status> outcome;
    int passes = 0;
    std::optional<WriteBack> write_back{[&, end = outcome.get_future().share()] {
        ++passes;
        return end.get();
    }};
    for (int i = 0; i < 3; ++i) {
        const auto state = write_back->advance(1ms);
        REQUIRE(state.ok());
        REQUIRE(state->under_way);
    }
    SECTION("and says what it took") {
        outcome.set_value({});
        const auto state = write_back->advance(kLong);
        REQUIRE(state.ok());
        CHECK_FALSE(state->under_way);
        CHECK(state->took >= 3ms);
    }
    SECTION("or why it failed") {
        outcome.set_value(invalid_input("lost"));
        const auto state = write_back->advance(kLong);
        REQUIRE_FALSE(state.ok());
        CHECK(state.error().text == "lost");
    }
    CHECK(passes == 1);
    (void)write_back->advance(kLong);
    CHECK(passes == 2);
}

TEST_CASE("nobody waits for a pass that does not end") {
    std::promise<void> never;
    const auto gone = std::make_shared<std::promise<void>>();
    auto left = gone->get_future();
    {
        WriteBack write_back{[gone, end = never.get_future().share()]() -> Status {
            end.wait();
            gone->set_value();
            return {};
        }};
        REQUIRE(write_back.advance(0ms)->under_way);
    }
    never.set_value();
    REQUIRE(left.wait_for(kLong) == std::future_status::ready);
}
