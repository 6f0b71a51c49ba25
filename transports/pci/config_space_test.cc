// SPDX-License-Identifier: Apache-2.0
//
// Configuration space: masks, capabilities, and what a loaded image may differ in.
#include "transports/pci/config_space.h"

#include <array>
#include <catch2/catch.hpp>

namespace godwit::pci::config_space_test {
namespace {

ConfigSpace sample() {
    ConfigSpace config{{.vendor = 0x1af4,
                        .device = 0x1042,
                        .revision = 1,
                        .class_code = 0x010802,
                        .subsystem_vendor = 0x1af4,
                        .subsystem = 0x1100,
                        .interrupt_pin = 1}};
    const std::array<std::byte, 6> body{std::byte{8}, std::byte{0xaa}};
    config.add_capability(0x40, 0x09, body, "first capability");
    config.add_capability(0x50, 0x11, body, "second capability");
    return config;
}

template <std::unsigned_integral T>
void guest_write(ConfigSpace& config, std::uint32_t offset, T value) {
    config.write(offset, std::as_bytes(std::span{&value, 1}));
}
template <std::unsigned_integral T>
T guest_read(const ConfigSpace& config, std::uint32_t offset) {
    std::array<std::byte, sizeof(T)> bytes{};
    config.read(offset, bytes);
    return load_le<T>(bytes);
}

} // namespace

TEST_CASE("identity and capability list", "[pci]") {
    const ConfigSpace config = sample();
    CHECK(guest_read<std::uint32_t>(config, 0) == 0x10421af4);
    CHECK(guest_read<std::uint32_t>(config, PCI_REVISION_ID) == 0x01080201);
    CHECK(guest_read<std::uint32_t>(config, PCI_SUBSYSTEM_VENDOR_ID) == 0x11001af4);
    CHECK(guest_read<std::uint16_t>(config, PCI_STATUS) == PCI_STATUS_CAP_LIST);
    CHECK(guest_read<std::uint8_t>(config, PCI_CAPABILITY_LIST) == 0x50);
    CHECK(guest_read<std::uint32_t>(config, 0x50) == 0xaa084011);
    CHECK(guest_read<std::uint32_t>(config, 0x40) == 0xaa080009);
}

TEST_CASE("a guest writes what it may and nothing else", "[pci]") {
    ConfigSpace config = sample();
    for (std::uint32_t offset = 0; offset < ConfigSpace::kSize; offset += 4)
        guest_write(config, offset, ~std::uint32_t{0});
    CHECK(guest_read<std::uint32_t>(config, 0) == 0x10421af4);
    CHECK(guest_read<std::uint32_t>(config, PCI_COMMAND) == 0x0010'0507);
    CHECK(guest_read<std::uint32_t>(config, PCI_CACHE_LINE_SIZE) == 0xff);
    CHECK(guest_read<std::uint32_t>(config, PCI_INTERRUPT_LINE) == 0x01ff);
    CHECK(guest_read<std::uint32_t>(config, 0x50) == 0xaa084011);
}

TEST_CASE("status errors are cleared by ones", "[pci]") {
    ConfigSpace config = sample();
    config.set(PCI_STATUS, static_cast<std::uint16_t>(0xf910));
    guest_write(config, PCI_STATUS, std::uint16_t{0x8010});
    CHECK(guest_read<std::uint16_t>(config, PCI_STATUS) == 0x7910);
}

TEST_CASE("beyond byte 255 there is nothing", "[pci]") {
    ConfigSpace config = sample();
    config.set(0xfc, std::uint32_t{0x12345678});
    CHECK(guest_read<std::uint64_t>(config, 0xfc) == 0x12345678);
    CHECK(guest_read<std::uint32_t>(config, 0x100) == 0);
    CHECK(guest_read<std::uint32_t>(config, 0xffc) == 0);
    guest_write(config, 0xfe, ~std::uint64_t{0});
    guest_write(config, 0x100, ~std::uint32_t{0});
}

TEST_CASE("a loaded image may differ in what the guest writes, and only there", "[pci]") {
    const ConfigSpace config = sample();
    auto image = config.image();
    SECTION("the same") {
        CHECK(config.check(image).ok());
    }
    SECTION("command, cache line, interrupt line, subsystem") {
        for (const std::size_t at : {0x04, 0x05, 0x0c, 0x2e, 0x3c, 0x3d})
            image[at] ^= std::byte{0xff};
        CHECK(config.check(image).ok());
    }
    SECTION("each byte that is not the guest's is named with both values") {
        for (const std::size_t at :
             {0x00, 0x03, 0x06, 0x08, 0x09, 0x0b, 0x0e, 0x34, 0x40, 0x43, 0x50, 0x57}) {
            image = config.image();
            image[at] ^= std::byte{0x10};
            const auto status = config.check(image);
            REQUIRE_FALSE(status.ok());
            CHECK(status.error().code == ErrorCode::Incompatible);
            CHECK_THAT(status.error().text, Catch::Contains(fmt::format("{:#04x}", at)));
        }
        image = config.image();
        image[0x52] = std::byte{3};
        CHECK(config.check(image).error().text ==
              "configuration byte 0x52 (second capability): 0x03 in the stream, 0x08 here");
    }
}

} // namespace godwit::pci::config_space_test
