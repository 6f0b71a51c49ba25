// SPDX-License-Identifier: Apache-2.0
//
// Reasons of preflight that a receiver was told to accept.
#include "migration/destination.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace accept_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using Catch::Matchers::Contains;

TEST_CASE("a guest moves in spite of what the receiver was told to accept, and of nothing else",
          "[migration]") {
    constexpr std::uint64_t kRam = std::uint64_t{1} << 20;
    World world;
    TestPort source{world, kRam}, destination{world, kRam};
    source.boot(RunState::Running);
    destination.description.cpus = source.description.cpus + 1;
    source.description.memory_in_use = 2;
    destination.host.memory_available = 1;
    const auto move = [&](std::vector<std::string> accepted) {
        const Link link = connected();
        Progress here, there;
        auto receiving = std::async(std::launch::async, [&] {
            return receive(destination, *link.destination, {.accepted = std::move(accepted)}, there, nullptr);
        });
        auto sent = migrate(source, *link.source, {}, here, nullptr);
        (void)receiving.get();
        return sent;
    };
    const auto refused = move({"machine.cpu-count"});
    REQUIRE_FALSE(refused.ok());
    REQUIRE(refused.error().code == ErrorCode::Incompatible);
    REQUIRE_THAT(refused.error().text, Contains("[host.memory-short]") && !Contains("cpu-count"));
    REQUIRE(move({"machine.cpu-count", "host.memory-short"}).ok());
    REQUIRE(destination.runs());
}

} // namespace accept_test
