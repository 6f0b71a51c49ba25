// SPDX-License-Identifier: Apache-2.0
//
// Random channel programs, always the same ones: they end, the machine lives, and its state can be saved and
// loaded after each step.
#include "transports/ccw/hostile_program.h"

#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

namespace hostile_test {

TEST_CASE("hostile channel programs are bounded", "[ccw][hostile]") {
    constexpr unsigned kRuns = 400;
    for (unsigned run = 0; run < kRuns; ++run) {
        std::mt19937 random{run};
        std::vector<std::byte> bytes(200 + random() % 1500);
        for (auto& byte : bytes)
            byte = static_cast<std::byte>(random());
        std::string wrong;
        try {
            godwit::ccw::testing::drive(bytes);
        } catch (const std::exception& exception) {
            wrong = exception.what();
        }
        INFO("run " << run);
        REQUIRE(wrong == "");
    }
}

} // namespace hostile_test
