// SPDX-License-Identifier: Apache-2.0
#include "devices/reset_ports.h"

#include <catch2/catch.hpp>

#include <array>
#include <set>

using namespace godwit;

namespace {

// The values of a byte that reset.
std::set<unsigned> values_that_reset(ResetPort::Kind kind) {
    unsigned resets = 0;
    ResetPort port{kind, [&] { ++resets; }};
    std::set<unsigned> found;
    for (unsigned value = 0; value < 256; ++value) {
        const std::array data{static_cast<std::byte>(value)};
        resets = 0;
        port.write(0, data);
        if (resets != 0)
            found.insert(value);
        CHECK(resets <= 1);
    }
    return found;
}

} // namespace

TEST_CASE("the reset control register resets by bit 2", "[reset]") {
    const auto values = values_that_reset(ResetPort::Kind::ResetControl);
    CHECK(values.size() == 128);
    for (const unsigned value : {0x04u, 0x06u, 0x0eu, 0xffu})
        CHECK(values.contains(value));
    for (const unsigned value : {0x00u, 0x02u, 0x0au, 0xf3u}) // the driver's first write chooses the kind
        CHECK_FALSE(values.contains(value));
}

TEST_CASE("the keyboard controller's pulse command resets when the reset line is among the pulsed",
          "[reset]") {
    CHECK(values_that_reset(ResetPort::Kind::Keyboard) ==
          std::set{0xf0u, 0xf2u, 0xf4u, 0xf6u, 0xf8u, 0xfau, 0xfcu, 0xfeu});
}

TEST_CASE("a reset port reads as zero", "[reset]") {
    ResetPort port{ResetPort::Kind::Keyboard, [] { FAIL("a read resets nothing"); }};
    std::array data{std::byte{1}, std::byte{2}};
    port.read(0, data);
    CHECK(data == std::array{std::byte{0}, std::byte{0}});
}
