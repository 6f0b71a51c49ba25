// SPDX-License-Identifier: Apache-2.0
#include "devices/ged.h"

#include <catch2/catch.hpp>
#include <cstring>

namespace godwit {
namespace {

struct CountingLine final : IrqLine {
    void set_level(bool high) override {
        edges += high ? 1 : 0;
        level = high;
    }
    int edges = 0;
    bool level = false;
};

struct Fixture final : private Ged::Events {
    void power_off() override { ++power_offs; }
    void reset_requested() override { ++resets; }

    CountingLine line;
    int power_offs = 0, resets = 0;
    Ged ged{line, *this};

    std::uint32_t events() {
        std::array<std::byte, 4> data{};
        ged.event_registers().read(0, data);
        return load_le<std::uint32_t>(data);
    }
    void sleep_write(std::uint64_t offset, std::uint8_t value) {
        const std::array data{std::byte{value}};
        ged.sleep_registers().write(offset, data);
    }
};

std::vector<std::byte> saved(const GedState& state) {
    StateWriter writer{"acpi-ged", 1};
    writer.fields(state);
    return {writer.bytes().begin(), writer.bytes().end()};
}

Status load(std::span<const std::byte> bytes, Ged& ged) {
    GedSection section{ged};
    ByteReader in{bytes};
    StateReader reader{in, "acpi-ged"};
    TRY(section.load(reader, 1));
    if (!in.at_end())
        return corrupt("{} bytes left", in.remaining());
    return section.commit_load();
}

} // namespace

TEST_CASE("the power button is an event, an edge, and is taken once", "[ged]") {
    Fixture f;
    CHECK(f.events() == 0);
    f.ged.press_power_button();
    CHECK(f.line.edges == 1);
    CHECK_FALSE(f.line.level);
    CHECK(f.events() == Ged::kPowerButton);
    CHECK(f.events() == 0);
}

TEST_CASE("a new generation is an event of its own", "[ged]") {
    Fixture f;
    f.ged.generation_changed();
    CHECK(f.line.edges == 1);
    f.ged.press_power_button();
    CHECK(f.events() == (Ged::kGenerationChanged | Ged::kPowerButton));
    CHECK(f.events() == 0);
}

TEST_CASE("a narrow or misplaced read of the selector takes nothing", "[ged]") {
    Fixture f;
    f.ged.press_power_button();
    std::array<std::byte, 4> data;
    for (const auto& [offset, size] : {std::pair{0, 1}, std::pair{0, 2}, std::pair{2, 2}, std::pair{3, 1}}) {
        data.fill(std::byte{0xff});
        f.ged.event_registers().read(static_cast<std::uint64_t>(offset),
                                     std::span{data}.first(static_cast<std::size_t>(size)));
        CHECK(data[0] == std::byte{0});
    }
    f.ged.event_registers().write(0, data);
    CHECK(f.events() == Ged::kPowerButton);
}

TEST_CASE("power-off wants type 5 and enable, reset its value", "[ged]") {
    Fixture f;
    for (unsigned value = 0; value < 256; ++value) {
        f.power_offs = 0;
        f.sleep_write(0, static_cast<std::uint8_t>(value));
        CHECK((f.power_offs == 1) == ((value & 0x3c) == 0x34));
    }
    CHECK(f.resets == 0);
    f.power_offs = 0;
    for (unsigned value = 0; value < 256; ++value)
        f.sleep_write(2, static_cast<std::uint8_t>(value));
    CHECK(f.resets == 1);
    f.sleep_write(1, 0x34);
    f.sleep_write(1, 0x42);
    CHECK(f.resets == 1);
    CHECK(f.power_offs == 0);
    std::array<std::byte, 3> data{std::byte{1}, std::byte{2}, std::byte{3}};
    f.ged.sleep_registers().read(0, data);
    CHECK(data == std::array<std::byte, 3>{});
}

TEST_CASE("the section is QEMU's 28 bytes", "[ged]") {
    Fixture f;
    f.ged.press_power_button();
    const auto bytes = saved(f.ged.capture());
    const std::string_view expected{"\0\0\0\x02\x05\x0e"
                                    "acpi-ged/memhp\0\0\0\x01\0\0\0\0",
                                    28};
    REQUIRE(bytes.size() == expected.size());
    CHECK(std::memcmp(bytes.data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("the state survives save and load, and reset forgets it", "[ged][contract]") {
    Fixture from, to;
    from.ged.press_power_button();
    const auto bytes = saved(from.ged.capture());
    REQUIRE(load(bytes, to.ged).ok());
    CHECK(saved(to.ged.capture()) == bytes);
    CHECK(to.line.edges == 0); // the interrupt travels with the interrupt controller
    CHECK(to.events() == Ged::kPowerButton);
    CHECK(saved(to.ged.capture()) != bytes);
    REQUIRE(load(std::span{bytes}.first(4), to.ged).ok()); // QEMU accepts a missing memhp too
    to.ged.reset();
    CHECK(to.events() == 0);
}

TEST_CASE("each field is in the stream, and each truncation is refused", "[ged][contract]") {
    const GedState base{{0}, GedMemoryHotplugRecord{}};
    GedState other = base;
    other.ged_state.sel = 2;
    CHECK(saved(other) != saved(base));
    other = base;
    other.memhp->memhp_state.selector = 1;
    CHECK(saved(other) != saved(base));

    const auto bytes = saved(base);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        if (length == 4)
            continue; // whole, without the subsection
        Fixture f;
        CHECK_FALSE(load(std::span{bytes}.first(length), f.ged).ok());
    }
}

TEST_CASE("a load that is not committed changes nothing", "[ged][contract]") {
    Fixture f;
    const auto bytes = saved({{2}, GedMemoryHotplugRecord{}});
    GedSection section{f.ged};
    ByteReader in{bytes};
    StateReader reader{in, "acpi-ged"};
    REQUIRE(section.load(reader, 1).ok());
    section.discard_load();
    REQUIRE(section.commit_load().ok());
    CHECK(f.events() == 0);
}

} // namespace godwit
