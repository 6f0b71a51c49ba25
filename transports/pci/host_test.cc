// SPDX-License-Identifier: Apache-2.0
//
// ECAM, slots, BARs that move, INTx lines that are shared, and the sections of the host bridge.
#include "transports/pci/host.h"

#include "transports/pci/test_support.h"

#include <catch2/catch.hpp>

namespace godwit::pci::host_test {
namespace {

using testing::Board;
using testing::kEcam;
using testing::kWindow32;
using testing::kWindow64;
using testing::must;

constexpr std::uint32_t kBar0 = PCI_BASE_ADDRESS_0;
constexpr std::uint32_t kBar2 = PCI_BASE_ADDRESS_0 + 8;

// A function with a 32-bit and a 64-bit BAR that answer with their index.
class Plain final : public Function {
  public:
    explicit Plain(PciHost& host, std::uint8_t pin = 1)
        : Function(host, "plain", {.vendor = 0x1234, .device = 0x5678, .interrupt_pin = pin}) {
        add_bar(0, Bars::Kind::Memory32, 0x1000, first_);
        add_bar(2, Bars::Kind::Memory64Prefetchable, 0x4000, second_);
    }
    using Function::commit_record;
    using Function::load_record;
    using Function::save_record;
    using Function::set_intx;

  private:
    struct Registers final : BusDevice {
        explicit Registers(std::uint8_t v) : value(v) {}
        std::string_view name() const override { return "plain"; }
        void read(std::uint64_t, std::span<std::byte> data) override {
            std::fill(data.begin(), data.end(), std::byte{value});
        }
        void write(std::uint64_t, std::span<const std::byte>) override {}
        std::uint8_t value;
    };
    Registers first_{1};
    Registers second_{2};
};

struct Fixture : Board {
    // Functions live on the loop's thread.
    std::shared_ptr<Plain> plug(std::optional<std::uint8_t> slot = std::nullopt, std::uint8_t pin = 1) {
        return on_loop([&] {
            auto function = std::shared_ptr<Plain>(new Plain{*host, pin},
                                                   [this](Plain* p) { on_loop([&] { delete p; }); });
            must(function->plug(slot));
            return function;
        });
    }
    void set_intx(Plain& function, bool on) {
        on_loop([&] { function.set_intx(on); });
    }
    std::vector<std::byte> saved(std::size_t section) {
        return on_loop([&] {
            StateSection& s = *host->sections()[section];
            StateWriter writer{s.id().record, s.id().version};
            must(s.save(writer));
            return std::vector<std::byte>{writer.bytes().begin(), writer.bytes().end()};
        });
    }
    Status load(std::size_t section, std::span<const std::byte> bytes) {
        return on_loop([&]() -> Status {
            StateSection& s = *host->sections()[section];
            ByteReader in{bytes};
            StateReader reader{in, s.id().record};
            TRY(s.load(reader, 1));
            return s.commit_load();
        });
    }
};

} // namespace

TEST_CASE("ECAM shows the bridge, and ones where nobody is", "[pci]") {
    Fixture f;
    CHECK(f.config<std::uint32_t>(0, 0) == 0x00081b36);
    CHECK(f.config<std::uint32_t>(0, PCI_REVISION_ID) == 0x06000000);
    CHECK(f.config<std::uint32_t>(0, PCI_SUBSYSTEM_VENDOR_ID) == 0x11001af4);
    CHECK(f.config<std::uint32_t>(0, PCI_STATUS - 2) == 0);
    CHECK(f.config<std::uint32_t>(0, 0x100) == 0);
    CHECK(f.config<std::uint32_t>(1, 0) == 0xffffffff);
    CHECK(f.read<std::uint32_t>(kEcam + 0x1000) == 0xffffffff);                     // function 1
    CHECK(f.read<std::uint32_t>(kEcam + (1 << 20)) == 0xffffffff);                  // bus 1
    CHECK(f.read<std::uint32_t>(kEcam + (std::uint64_t{255} << 20)) == 0xffffffff); // bus 255
    CHECK(f.read<std::uint64_t>(kEcam + 0xffc) == ~std::uint64_t{0});               // into the next function
    f.write(kEcam + 0xffc, std::uint64_t{0});
    f.write(kEcam + 0x100000, std::uint32_t{0});
}

TEST_CASE("slots", "[pci]") {
    Fixture f;
    const auto a = f.plug();
    const auto b = f.plug(std::uint8_t{3});
    const auto c = f.plug();
    const auto d = f.plug();
    CHECK(a->address() == "0000:00:01.0");
    CHECK(b->slot() == 3);
    CHECK(c->slot() == 2);
    CHECK(d->slot() == 4);
    f.on_loop([&] {
        Plain taken{*f.host};
        CHECK(taken.plug(std::uint8_t{3}).error().text == "plain: PCI slot 3 is taken by plain");
        CHECK_FALSE(taken.plug(std::uint8_t{0}).ok());
        CHECK_FALSE(taken.plug(std::uint8_t{32}).ok());
    });
    CHECK(f.config<std::uint32_t>(3, 0) == 0x56781234);
    std::vector<std::shared_ptr<Plain>> rest;
    for (int i = 0; i < 27; ++i)
        rest.push_back(f.plug());
    f.on_loop([&] {
        Plain late{*f.host};
        CHECK_FALSE(late.plug(std::nullopt).ok());
    });
    rest.clear();
    CHECK(f.config<std::uint32_t>(31, 0) == 0xffffffff);
}

TEST_CASE("the sizing protocol", "[pci]") {
    Fixture f;
    const auto function = f.plug();
    f.set_config(1, kBar0, ~std::uint32_t{0});
    f.set_config(1, kBar2, ~std::uint32_t{0});
    f.set_config(1, kBar2 + 4, ~std::uint32_t{0});
    CHECK(f.config<std::uint32_t>(1, kBar0) == 0xfffff000);
    CHECK(f.config<std::uint32_t>(1, kBar2) == 0xffffc00c);
    CHECK(f.config<std::uint32_t>(1, kBar2 + 4) == 0xffffffff);
    f.set_config(1, kBar0 + 4, ~std::uint32_t{0}); // no such BAR
    CHECK(f.config<std::uint32_t>(1, kBar0 + 4) == 0);
}

TEST_CASE("a BAR answers where it was programmed while decoding is on", "[pci]") {
    Fixture f;
    const auto function = f.plug();
    constexpr std::uint32_t kAt = kWindow32 + 0x10'0000;
    f.set_config(1, kBar0, kAt);
    CHECK(f.read<std::uint8_t>(kAt) == 0xff); // decoding is off
    f.set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY);
    CHECK(f.read<std::uint32_t>(kAt + 0xffc) == 0x01010101);
    CHECK(f.read<std::uint8_t>(kAt + 0x1000) == 0xff);

    f.set_config(1, kBar0, kAt + 0x1000u);
    CHECK(f.read<std::uint8_t>(kAt) == 0xff);
    CHECK(f.read<std::uint8_t>(kAt + 0x1000) == 1);

    f.set_config(1, PCI_COMMAND, std::uint16_t{0});
    CHECK(f.read<std::uint8_t>(kAt + 0x1000) == 0xff);
}

TEST_CASE("a 64-bit BAR lives in either window", "[pci]") {
    Fixture f;
    const auto function = f.plug();
    f.set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY);
    f.set_config(1, kBar2, static_cast<std::uint32_t>(kWindow32 + 0x4000));
    CHECK(f.read<std::uint8_t>(kWindow32 + 0x4000) == 2);
    f.set_config(1, kBar2 + 4, std::uint32_t{0xc1});
    f.set_config(1, kBar2, std::uint32_t{0x8000});
    CHECK(f.read<std::uint8_t>(kWindow32 + 0x4000) == 0xff);
    CHECK(f.read<std::uint8_t>(kWindow64 + 0x1'0000'8000 + 0x3fff) == 2);
}

TEST_CASE("addresses outside the windows are not mapped", "[pci]") {
    Fixture f;
    const auto function = f.plug();
    f.set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY);
    for (const std::uint32_t at : {0u, 0x1000u, 0xbffff000u, 0xe0000000u, 0xfee00000u, 0xfffff000u}) {
        f.set_config(1, kBar0, at);
        if (at == kEcam)
            CHECK(f.config<std::uint16_t>(0, 0) == 0x1b36);
        else
            CHECK(f.read<std::uint8_t>(at) == 0xff);
    }
    f.set_config(1, kBar0, 0xdffff000u); // the last page of the window
    CHECK(f.read<std::uint8_t>(0xdffff000u) == 1);
    f.set_config(1, kBar2, 0xffffc000u);
    f.set_config(1, kBar2 + 4, 0xffffffffu);
    CHECK(f.read<std::uint8_t>(0xffffffffffffc000u) == 0xff);
}

TEST_CASE("BARs that overlap: the first stays, the other comes when there is room", "[pci]") {
    Fixture f;
    const auto a = f.plug();
    const auto b = f.plug();
    f.set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY);
    f.set_config(2, PCI_COMMAND, PCI_COMMAND_MEMORY);
    f.set_config(1, kBar0, static_cast<std::uint32_t>(kWindow32 + 0x1000));
    f.set_config(2, kBar2, static_cast<std::uint32_t>(kWindow32)); // 16 KiB over it
    CHECK(f.read<std::uint8_t>(kWindow32 + 0x1000) == 1);
    CHECK(f.read<std::uint8_t>(kWindow32) == 0xff);
    f.set_config(1, kBar0, static_cast<std::uint32_t>(kWindow32 + 0x8000));
    CHECK(f.read<std::uint8_t>(kWindow32) == 2);
    CHECK(f.read<std::uint8_t>(kWindow32 + 0x1000) == 2);
    CHECK(f.read<std::uint8_t>(kWindow32 + 0x8000) == 1);
}

TEST_CASE("INTx lines follow the swizzle and are shared", "[pci]") {
    Fixture f;
    const auto one = f.plug(std::uint8_t{1});
    const auto five = f.plug(std::uint8_t{5});
    const auto eight = f.plug(std::uint8_t{8});
    const auto mute = f.plug(std::uint8_t{9}, 0);
    f.set_intx(*one, true);
    CHECK(f.interrupts.level(13));
    CHECK((f.config<std::uint16_t>(1, PCI_STATUS) & PCI_STATUS_INTERRUPT) != 0);
    f.set_intx(*five, true);
    f.set_intx(*one, false);
    CHECK(f.interrupts.level(13)); // slot 5 still holds it
    CHECK_FALSE(f.interrupts.level(12));
    f.set_intx(*eight, true);
    CHECK(f.interrupts.level(12));
    f.set_intx(*mute, true);
    CHECK((f.config<std::uint16_t>(9, PCI_STATUS) & PCI_STATUS_INTERRUPT) == 0);

    f.set_config(5, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
    CHECK_FALSE(f.interrupts.level(13));
    CHECK((f.config<std::uint16_t>(5, PCI_STATUS) & PCI_STATUS_INTERRUPT) != 0);
    f.set_config(5, PCI_COMMAND, std::uint16_t{0});
    CHECK(f.interrupts.level(13));

    const auto counts = f.saved(2);
    REQUIRE(counts.size() == 20);
    const std::array<std::uint32_t, 5> expected{4, 1, 1, 0, 0};
    for (std::size_t i = 0; i < expected.size(); ++i)
        CHECK(load_be<std::uint32_t>(std::span{counts}.subspan(4 * i)) == expected[i]);

    f.on_loop([&] { f.host->reset(); });
    CHECK_FALSE(f.interrupts.level(13));
    CHECK_FALSE(f.interrupts.level(12));
}

TEST_CASE("a reset puts configuration space and BARs back", "[pci]") {
    Fixture f;
    const auto function = f.plug();
    f.set_config(1, kBar0, static_cast<std::uint32_t>(kWindow32));
    f.set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY);
    REQUIRE(f.read<std::uint8_t>(kWindow32) == 1);
    f.on_loop([&] { f.host->reset(); });
    CHECK(f.read<std::uint8_t>(kWindow32) == 0xff);
    CHECK(f.config<std::uint16_t>(1, PCI_COMMAND) == 0);
    CHECK(f.config<std::uint32_t>(1, kBar0) == 0);
}

TEST_CASE("the host's sections have the names, order and sizes of the stream", "[pci]") {
    Fixture f;
    const auto sections = f.host->sections();
    CHECK(sections[0]->id().name == "0000:00:00.0/gpex_root");
    CHECK(sections[0]->id().record == "gpex_root");
    CHECK(sections[1]->id().name == "PCIHost");
    CHECK(sections[2]->id().name == "PCIBUS");
    CHECK(f.saved(0).size() == 276);
    CHECK(f.saved(1) == std::vector<std::byte>(4));
    CHECK(f.saved(2).size() == 20);
}

TEST_CASE("the host's sections survive save and load, and refuse what is cut off", "[pci]") {
    Fixture f;
    f.set_config(0, PCI_INTERRUPT_LINE, std::uint8_t{0x5a});
    f.set_config(0, PCI_COMMAND, std::uint16_t{0x0506});
    for (std::size_t section = 0; section < 3; ++section) {
        const auto bytes = f.saved(section);
        Fixture g;
        for (std::size_t length = 0; length < bytes.size(); ++length)
            REQUIRE_FALSE(g.load(section, std::span{bytes}.first(length)).ok());
        REQUIRE(g.load(section, bytes).ok());
        CHECK(g.saved(section) == bytes);
    }
}

TEST_CASE("hostile host records", "[pci]") {
    Fixture f;
    auto root = f.saved(0);
    auto bus = f.saved(2);
    SECTION("a record version of the future") {
        root[3] = std::byte{3};
        CHECK_FALSE(f.load(0, root).ok());
        root[0] = std::byte{0xff};
        CHECK_FALSE(f.load(0, root).ok());
    }
    SECTION("an interrupt from a function without pins") {
        root[263] = std::byte{1};
        CHECK_FALSE(f.load(0, root).ok());
    }
    SECTION("another number of lines than there are (CVE-2013-4527, CVE-2013-4529)") {
        bus[3] = std::byte{5};
        CHECK_FALSE(f.load(2, bus).ok());
    }
    SECTION("impossible counts") {
        bus[7] = std::byte{33};
        CHECK_FALSE(f.load(2, bus).ok());
        bus[4] = std::byte{0xff};
        CHECK_FALSE(f.load(2, bus).ok());
    }
    SECTION("counts that the functions do not bear out drive nothing") {
        bus[7] = std::byte{1};
        CHECK(f.load(2, bus).ok());
        CHECK_FALSE(f.interrupts.level(12));
    }
}

} // namespace godwit::pci::host_test
