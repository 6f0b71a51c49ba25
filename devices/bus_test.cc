// SPDX-License-Identifier: Apache-2.0
#include "devices/bus.h"
#include "devices/loop_bus_device.h"

#include <array>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace godwit {
namespace {

struct Recorder final : BusDevice {
    explicit Recorder(std::string the_label) : label(std::move(the_label)) {}
    std::string_view name() const override { return label; }
    void read(std::uint64_t offset, std::span<std::byte> data) override {
        last = offset;
        thread = std::this_thread::get_id();
        std::fill(data.begin(), data.end(), std::byte{0x5a});
    }
    void write(std::uint64_t offset, std::span<const std::byte> data) override {
        last = offset;
        thread = std::this_thread::get_id();
        written.assign(data.begin(), data.end());
    }
    std::string label;
    std::uint64_t last = 999;
    std::thread::id thread;
    std::vector<std::byte> written;
};

} // namespace

TEST_CASE("an access reaches its device with the offset in the range", "[bus]") {
    Bus bus{"port"};
    Recorder serial{"serial"}, other{"other"};
    REQUIRE(bus.map(0x3f8, 8, serial).ok());
    REQUIRE(bus.map(0x400, 4, other).ok());
    std::array<std::byte, 1> byte{};
    CHECK(bus.read(0x3fd, byte));
    CHECK(serial.last == 5);
    CHECK(byte[0] == std::byte{0x5a});
    const std::array<std::byte, 4> word{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    CHECK(bus.write(0x400, word));
    CHECK(other.last == 0);
    CHECK(other.written.size() == 4);
}

TEST_CASE("where nobody is, or only partly, reads give ones and writes nothing", "[bus]") {
    Bus bus{"port"};
    Recorder device{"device"};
    REQUIRE(bus.map(0x10, 4, device).ok());
    for (const std::uint64_t address : {0x0fULL, 0x0eULL, 0x13ULL, 0x14ULL, ~0ULL}) {
        std::array<std::byte, 2> data{};
        CHECK_FALSE(bus.read(address, data));
        CHECK(data == std::array<std::byte, 2>{std::byte{0xff}, std::byte{0xff}});
        CHECK_FALSE(bus.write(address, data));
    }
    CHECK(device.last == 999);
}

TEST_CASE("ranges that are empty, wrap or overlap are refused, naming both", "[bus]") {
    Bus bus{"mmio"};
    Recorder first{"first"}, second{"second"};
    REQUIRE(bus.map(0x1000, 0x100, first).ok());
    CHECK_FALSE(bus.map(0x2000, 0, second).ok());
    CHECK_FALSE(bus.map(~0ULL, 2, second).ok());
    for (const auto& [base, length] : {std::pair{0x1000ULL, 0x100ULL}, std::pair{0x0fffULL, 2ULL},
                                       std::pair{0x10ffULL, 1ULL}, std::pair{0x0ULL, 0x10000ULL}}) {
        const auto refused = bus.map(base, length, second);
        REQUIRE_FALSE(refused.ok());
        CHECK(refused.error().text.find("first") != std::string::npos);
        CHECK(refused.error().text.find("second") != std::string::npos);
    }
    CHECK(bus.map(0x0fff, 1, second).ok());
    CHECK(bus.map(0x1100, 1, second).ok());
    CHECK(bus.map(~0ULL, 1, second).ok());
}

TEST_CASE("a range can be unmapped and mapped elsewhere", "[bus]") {
    Bus bus{"mmio"};
    Recorder bar{"bar"};
    REQUIRE(bus.map(0x1000, 0x10, bar).ok());
    bus.unmap(0x1000);
    std::array<std::byte, 1> byte{};
    CHECK_FALSE(bus.read(0x1000, byte));
    REQUIRE(bus.map(0x2000, 0x10, bar).ok());
    CHECK(bus.read(0x2004, byte));
    CHECK(bar.last == 4);
}

TEST_CASE("a loop device is called on the loop's thread", "[bus]") {
    auto loop = std::move(Loop::create()).value();
    std::thread thread{[&] { loop->run(); }};
    Recorder inner{"inner"};
    LoopBusDevice wrapped{*loop, inner};
    std::array<std::byte, 2> data{};
    wrapped.read(6, data);
    CHECK(inner.thread == thread.get_id());
    CHECK(inner.last == 6);
    CHECK(data[1] == std::byte{0x5a});
    wrapped.write(7, data);
    CHECK(inner.last == 7);
    CHECK(inner.written.size() == 2);
    loop->quit();
    thread.join();
}

} // namespace godwit
