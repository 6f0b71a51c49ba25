// SPDX-License-Identifier: Apache-2.0
//
// MSI-X without a function around it: masks, pending bits, routes, state.
#include "transports/pci/msix.h"

#include "transports/pci/test_support.h"

#include <catch2/catch.hpp>

namespace godwit::pci::msix_test {
namespace {

using testing::FakeInterrupts;
using testing::must;

constexpr std::uint16_t kOpen = PCI_MSIX_FLAGS_ENABLE;

struct Fixture {
    explicit Fixture(std::uint16_t vectors = 3) : msix(must(Msix::create("msix", vectors, interrupts))) {}

    template <std::unsigned_integral T = std::uint32_t>
    T get(std::uint64_t offset) {
        std::array<std::byte, sizeof(T)> bytes{};
        msix->read(offset, bytes);
        return load_le<T>(bytes);
    }
    template <std::unsigned_integral T>
    void put(std::uint64_t offset, T value) {
        msix->write(offset, std::as_bytes(std::span{&value, 1}));
    }
    void program(std::uint32_t vector, std::uint64_t address, std::uint32_t data, std::uint32_t control) {
        put(vector * 16, static_cast<std::uint32_t>(address));
        put(vector * 16 + 4, static_cast<std::uint32_t>(address >> 32));
        put(vector * 16 + 8, data);
        put(vector * 16 + 12, control);
    }
    std::uint32_t pending() { return get(Msix::kPendingOffset); }
    const FakeInterrupts::Vector& vector(std::size_t i) const { return *interrupts.vectors[i]; }

    std::vector<std::byte> saved() const {
        StateWriter writer{"msix", 1};
        msix->save(writer);
        return {writer.bytes().begin(), writer.bytes().end()};
    }
    Status load(std::span<const std::byte> bytes) {
        ByteReader in{bytes};
        StateReader reader{in, "msix"};
        return msix->load(reader);
    }

    FakeInterrupts interrupts;
    std::unique_ptr<Msix> msix;
};

} // namespace

TEST_CASE("vectors start masked and unrouted", "[pci]") {
    Fixture f;
    for (std::uint32_t i = 0; i < 3; ++i)
        CHECK(f.get(i * 16 + 12) == 1);
    f.msix->set_control(kOpen);
    CHECK(f.vector(0).routes == 0);
    CHECK(f.get(3 * 16) == 0); // beyond the table
}

TEST_CASE("an open vector is routed once and delivered", "[pci]") {
    Fixture f;
    f.msix->set_control(kOpen);
    f.program(1, 0x1'fee0'1000, 0x4041, 0);
    CHECK(f.vector(1).routes == 1);
    CHECK(f.vector(1).address == 0x1'fee0'1000);
    CHECK(f.vector(1).data == 0x4041);
    f.msix->notify(1);
    f.msix->notify(1);
    CHECK(f.vector(1).triggers == 2);
    CHECK(f.pending() == 0);

    f.put(16 + 12, std::uint32_t{1});
    f.put(16 + 12, std::uint32_t{0});
    CHECK(f.vector(1).routes == 1); // nothing changed
    f.put(16 + 8, std::uint32_t{0x4042});
    CHECK(f.vector(1).routes == 2);
    CHECK(f.vector(1).data == 0x4042);
}

TEST_CASE("a masked vector pends, and fires once when it is unmasked", "[pci]") {
    Fixture f;
    f.msix->set_control(kOpen);
    f.program(2, 0xfee00000, 7, 1);
    f.msix->notify(2);
    f.msix->notify(2);
    CHECK(f.vector(2).triggers == 0);
    CHECK(f.vector(2).routes == 0);
    CHECK(f.pending() == 4);
    f.put(2 * 16 + 12, std::uint32_t{0});
    CHECK(f.vector(2).triggers == 1);
    CHECK(f.pending() == 0);
}

TEST_CASE("the function mask and enable bit hold every vector back", "[pci]") {
    Fixture f;
    f.program(0, 0xfee00000, 1, 0);
    f.program(1, 0xfee00000, 2, 0);
    const std::uint16_t closed = GENERATE(std::uint16_t{0}, std::uint16_t{kOpen | PCI_MSIX_FLAGS_MASKALL});
    f.msix->set_control(closed);
    f.msix->notify(0);
    f.msix->notify(1);
    CHECK(f.pending() == 3);
    CHECK(f.vector(0).routes == 0);
    f.msix->set_control(kOpen);
    CHECK(f.vector(0).triggers == 1);
    CHECK(f.vector(1).triggers == 1);
    CHECK(f.pending() == 0);
}

TEST_CASE("hostile accesses to the table are harmless", "[pci]") {
    Fixture f;
    f.msix->set_control(kOpen);
    f.put(Msix::kPendingOffset, ~std::uint32_t{0}); // read-only
    CHECK(f.pending() == 0);
    f.put(4, std::uint8_t{0xff});
    f.put(2, std::uint32_t{0xffffffff});
    f.put(Msix::kBarSize - 8, ~std::uint64_t{0});
    f.put(3 * 16, ~std::uint32_t{0});
    CHECK(f.get(4) == 0);
    CHECK(f.get<std::uint16_t>(12) == 0);
    f.put(8, std::uint64_t{5}); // data and mask in one
    CHECK(f.vector(0).routes == 1);
    f.msix->notify(3);
    f.msix->notify(0xffff);
    CHECK(f.pending() == 0);
}

TEST_CASE("a route that the host refuses loses the message, not the machine", "[pci]") {
    Fixture f;
    f.msix->set_control(kOpen);
    f.interrupts.refuse_routes = true;
    f.program(0, 0xfee00000, 1, 0);
    f.msix->notify(0);
    CHECK(f.vector(0).triggers == 0);
    f.interrupts.refuse_routes = false;
    f.put(8, std::uint32_t{2});
    f.msix->notify(0);
    CHECK(f.vector(0).triggers == 1);
}

TEST_CASE("as many vectors as the table holds", "[pci]") {
    FakeInterrupts interrupts;
    CHECK(Msix::create("m", Msix::kMaxVectors, interrupts).ok());
    CHECK_FALSE(Msix::create("m", Msix::kMaxVectors + 1, interrupts).ok());
    CHECK_FALSE(Msix::create("m", 0, interrupts).ok());
}

TEST_CASE("MSI-X state", "[pci]") {
    const std::uint16_t vectors =
        GENERATE(std::uint16_t{1}, std::uint16_t{3}, std::uint16_t{8}, std::uint16_t{9});
    Fixture f{vectors};
    f.program(0, 0xfee0'2000, 0x77, 0);
    f.msix->notify(0); // disabled: pends
    const auto bytes = f.saved();
    REQUIRE(bytes.size() == 16u * vectors + (vectors + 7u) / 8);

    Fixture g{vectors};
    REQUIRE(g.load(bytes).ok());
    CHECK(g.pending() == 0); // nothing before the commit
    SECTION("the pending message goes out when it is open") {
        g.msix->commit(kOpen);
        CHECK(g.vector(0).triggers == 1);
        CHECK(g.vector(0).address == 0xfee0'2000);
        CHECK(g.pending() == 0);
    }
    SECTION("and stays pending when it is not") {
        g.msix->commit(0);
        CHECK(g.pending() == 1);
        CHECK(g.saved() == bytes);
    }
    SECTION("a load that is given up leaves nothing") {
        g.msix->discard();
        g.msix->commit(kOpen);
        CHECK(g.vector(0).routes == 0);
    }
    SECTION("truncations") {
        for (std::size_t length = 0; length < bytes.size(); ++length)
            REQUIRE_FALSE(g.load(std::span{bytes}.first(length)).ok());
    }
    SECTION("pending bits of vectors that do not exist") {
        auto bad = bytes;
        bad.back() |= std::byte{0x80};
        CHECK(g.load(bad).ok() == (vectors % 8 == 0));
    }
}

} // namespace godwit::pci::msix_test
