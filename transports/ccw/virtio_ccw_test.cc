// SPDX-License-Identifier: Apache-2.0
//
// A virtio device by channel commands: negotiation in each revision, what is rejected, queues, indicators,
// adapter interruptions, doorbells, legacy drivers of both byte orders. docs/ccw-transport.md, sections 7
// to 9.
#include "transports/ccw/test_support.h"

#include <catch2/catch.hpp>

namespace virtio_ccw_test {

using namespace godwit;
using namespace godwit::ccw;
using namespace godwit::ccw::testing;
using namespace godwit::virtio;

namespace {

constexpr std::uint64_t kIndicators = 0x30000, kConfigIndicators = 0x30008, kSummary = 0x30010,
                        kArea = 0x30020;
constexpr std::uint64_t kRing = 0x50000;

struct Fixture {
    Board board;
    Plugged plugged{board};
    Guest guest{board};
    FakeDriver ring{*board.memory, 16, Gpa{kRing}};

    bool rejected(std::uint8_t code, std::span<const std::byte> data) {
        const Response response = guest.command(code, data);
        guest.test(); // an alert may follow, when indicators are set
        const bool is = (response.scsw.dstat & kUnitCheck) != 0;
        if (is) {
            REQUIRE(guest.run({{kCommandSense, 0, 32, Guest::kData}}).scsw.cstat == 0);
            guest.test();
            REQUIRE(guest.data(1)[0] == std::byte{kSenseCommandReject});
        }
        return is;
    }
    std::uint8_t byte(std::uint64_t at) { return must(board.memory->read<std::uint8_t>(Gpa{at})); }
    std::uint32_t offered(std::uint8_t index) {
        REQUIRE(guest.does(CCW_CMD_READ_FEAT, Guest::features(index)));
        return load_le<std::uint32_t>(guest.data(4));
    }
    void offer(FakeDriver& driver) { driver.chain().writable(Gpa{0x8000}, 16).offer(); }
    void kick(std::uint16_t queue = 0) {
        REQUIRE(board.bells.ring(kWindow + kRegNotify, 8, std::uint64_t{kSchidOne} << 32 | queue));
        board.on_loop([] {});
        board.on_loop([] {});
    }
    void offer_and_kick() {
        offer(ring);
        kick();
    }
    bool live(std::uint16_t revision = 1) {
        return guest.negotiate(revision) && guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)) && guest.go();
    }
};

} // namespace

TEST_CASE_METHOD(Fixture, "a device is negotiated in each revision", "[ccw][virtio]") {
    const auto revision = GENERATE(std::uint16_t{1}, std::uint16_t{2});
    REQUIRE(live(revision));
    CHECK(plugged.transport->revision() == revision);
    CHECK(plugged.core.running());
    offer_and_kick();
    CHECK(ring.take_used().has_value());
    CHECK(offered(0) == static_cast<std::uint32_t>(plugged.core.offered_features()));
    CHECK(offered(1) == static_cast<std::uint32_t>(plugged.core.offered_features() >> 32));
    CHECK(offered(2) == 0);
    if (revision == 2) {
        REQUIRE(guest.does(CCW_CMD_READ_STATUS, Guest::byte(0)));
        CHECK(guest.data(1)[0] == std::byte{0xf});
    } else {
        CHECK(rejected(CCW_CMD_READ_STATUS, Guest::byte(0)));
    }
}

TEST_CASE_METHOD(Fixture, "the revision is set once, and forgotten when the subchannel is disabled",
                 "[ccw][virtio]") {
    guest.enable();
    CHECK(rejected(CCW_CMD_SET_VIRTIO_REV, Guest::revision(3)));
    ByteWriter longer;
    longer.be(std::uint16_t{1});
    longer.be(std::uint16_t{2});
    longer.be(std::uint16_t{0});
    CHECK(rejected(CCW_CMD_SET_VIRTIO_REV, longer.bytes()));
    CHECK(guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(2)));
    CHECK(rejected(CCW_CMD_SET_VIRTIO_REV, Guest::revision(1)));
    CHECK(guest.does(CCW_CMD_VDEV_RESET, {}));
    CHECK(plugged.transport->revision() == 2);
    Schib schib = guest.store();
    schib.pmcw.flags = 0;
    REQUIRE(guest.modify(schib) == Outcome::Done);
    CHECK(plugged.transport->revision() == kRevisionUnset);
    guest.enable();
    CHECK(offered(1) == 0); // a device of revision 0, until told
    CHECK(guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(1)));
}

TEST_CASE_METHOD(Fixture, "a status that the device refuses is rejected", "[ccw][virtio]") {
    REQUIRE(guest.negotiate());
    CHECK(rejected(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE))); // clears bits
    CHECK(plugged.core.status() == (ACKNOWLEDGE | DRIVER | FEATURES_OK));
    REQUIRE(guest.does(CCW_CMD_WRITE_STATUS, Guest::byte(0)));
    CHECK(plugged.core.status() == 0);
    REQUIRE(guest.does(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE | DRIVER)));
    CHECK(rejected(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE | DRIVER | FEATURES_OK))); // no VERSION_1
    CHECK(rejected(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE | DRIVER | DRIVER_OK)));
}

TEST_CASE_METHOD(Fixture, "a reset that cannot be is an equipment check", "[ccw][virtio]") {
    REQUIRE(live());
    plugged.device.fail_stop = true;
    CHECK((guest.command(CCW_CMD_VDEV_RESET, {}).scsw.dstat & kUnitCheck) != 0);
    guest.run({{kCommandSense, 0, 32, Guest::kData}});
    CHECK(guest.data(1)[0] == std::byte{kSenseEquipmentCheck});
    plugged.device.fail_stop = false;
    CHECK(guest.does(CCW_CMD_VDEV_RESET, {}));
}

TEST_CASE_METHOD(Fixture, "queues", "[ccw][virtio]") {
    REQUIRE(guest.negotiate());
    ByteWriter index;
    index.be(std::uint16_t{1});
    index.be(std::uint16_t{0});
    REQUIRE(guest.does(CCW_CMD_READ_VQ_CONF, index.bytes()));
    CHECK(load_be<std::uint16_t>(std::span<const std::byte>{guest.data(4)}.subspan(2)) == 64);
    const std::vector<std::byte> absent{std::byte{0}, std::byte{9}, std::byte{1}, std::byte{1}};
    REQUIRE(guest.does(CCW_CMD_READ_VQ_CONF, absent));
    CHECK(load_be<std::uint16_t>(std::span<const std::byte>{guest.data(4)}.subspan(2)) == 0);

    CHECK(rejected(CCW_CMD_SET_VQ, Guest::queue(2, ring)));
    CHECK(rejected(CCW_CMD_SET_VQ, Guest::queue(0, FakeDriver{*board.memory, 512, Gpa{kRing}})));
    CHECK(rejected(CCW_CMD_SET_VQ, Guest::queue(0, FakeDriver{*board.memory, 16, Gpa{kRing + 8}})));
    CHECK(rejected(CCW_CMD_SET_VQ, Guest::queue(0, FakeDriver{*board.memory, 16, Gpa{kRam - 64}})));
    auto uneven = Guest::queue(0, ring);
    uneven[15] = std::byte{15};
    CHECK(rejected(CCW_CMD_SET_VQ, uneven));
    CHECK_FALSE(plugged.core.queue(0)->enabled);
    REQUIRE(guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)));
    CHECK(plugged.core.queue(0)->enabled);
    CHECK(plugged.core.queue(0)->size == 16);
    CHECK(plugged.core.queue(0)->addresses == ring.addresses());
    CHECK(rejected(CCW_CMD_SET_VQ, Guest::queue(0, ring)));
    auto given_up = Guest::queue(0, ring);
    std::fill_n(given_up.begin(), 8, std::byte{0});
    CHECK(guest.does(CCW_CMD_SET_VQ, given_up));
    CHECK_FALSE(plugged.core.queue(0)->enabled);
    CHECK(guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)));
}

TEST_CASE_METHOD(Fixture, "configuration space, in part and whole", "[ccw][virtio]") {
    REQUIRE(guest.negotiate());
    const std::vector<std::byte> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
    REQUIRE(guest.does(CCW_CMD_WRITE_CONF, bytes));
    CHECK(plugged.device.config[2] == std::byte{3});
    CHECK(plugged.device.config[3] == std::byte{0});
    REQUIRE(guest.does(CCW_CMD_READ_CONF, std::vector<std::byte>(2, std::byte{0xee})));
    CHECK(guest.data(3)[1] == std::byte{2});
    CHECK(guest.data(3)[2] == std::byte{3}); // what lay there before
}

TEST_CASE_METHOD(Fixture, "classic indicators", "[ccw][virtio]") {
    guest.open();
    REQUIRE(guest.negotiate());
    REQUIRE(guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)));
    FakeDriver other{*board.memory, 16, Gpa{kRing + 0x1000}};
    REQUIRE(guest.does(CCW_CMD_SET_VQ, Guest::queue(1, other)));
    REQUIRE(guest.does(CCW_CMD_SET_IND, Guest::address(kIndicators)));
    REQUIRE(guest.does(CCW_CMD_SET_CONF_IND, Guest::address(kConfigIndicators)));
    REQUIRE(guest.go());
    const int before = board.lines.io();
    offer(other);
    kick(1);
    CHECK(byte(kIndicators + 7) == 2); // queue 1, in the last byte of a big-endian doubleword
    CHECK(board.lines.io() == before + 1);
    offer_and_kick();
    CHECK(byte(kIndicators + 7) == 3);
    CHECK(board.lines.io() == before + 1); // status pends already
    CHECK(guest.taken_interruption() == kSchidOne);
    const Response response = guest.test();
    CHECK(response.scsw.ctrl == (kAlert | kStatusPending));
    CHECK(response.scsw.dstat == 0);

    SECTION("configuration changes have their own") {
        board.on_loop([&] { plugged.device.host->config_changed(); });
        CHECK(byte(kConfigIndicators + 7) == 1);
        CHECK(guest.test().scsw.ctrl == (kAlert | kStatusPending));
    }
    SECTION("what came with a program's status comes again after it") {
        guest.place(std::vector<Ccw1>{{kCommandNoOp, 0, 0, 0}});
        must(board.memory->write(Gpa{kIndicators}, std::uint64_t{0}));
        guest.start(Guest::orb());
        offer_and_kick();
        CHECK(guest.test().scsw.ctrl == (kStartFunction | kPrimary | kSecondary | kStatusPending));
        CHECK(guest.test().scsw.ctrl == (kAlert | kStatusPending));
        CHECK(guest.test().outcome == Outcome::Code1); // once
    }
    SECTION("they are switched off by address 0 and by a reset") {
        must(board.memory->write(Gpa{kIndicators}, std::uint64_t{0}));
        REQUIRE(guest.does(CCW_CMD_SET_IND, Guest::address(0)));
        offer_and_kick();
        CHECK(byte(kIndicators + 7) == 0);
        REQUIRE(guest.does(CCW_CMD_VDEV_RESET, {}));
        board.on_loop([&] { plugged.transport->notify_config(); });
        CHECK(byte(kConfigIndicators + 7) == 0);
    }
    SECTION("bad places") {
        CHECK(rejected(CCW_CMD_SET_IND, Guest::address(kIndicators + 4)));
        CHECK(rejected(CCW_CMD_SET_IND, Guest::address(kRam)));
        CHECK(rejected(CCW_CMD_SET_CONF_IND, Guest::address(~std::uint64_t{7})));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER,
                       Guest::thinint(kSummary, kArea, 0, 1))); // classic ones are in use
    }
}

TEST_CASE_METHOD(Fixture, "adapter interruptions", "[ccw][virtio]") {
    guest.open();
    REQUIRE(guest.negotiate());
    REQUIRE(guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)));
    REQUIRE(guest.does(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kArea, 13, 6)));
    REQUIRE(guest.go());
    const int io = board.lines.io();
    offer_and_kick();
    CHECK(byte(kArea + 1) == 0x04); // bit 13 from the left
    CHECK(byte(kSummary) == 1);
    CHECK(board.lines.adapter() == 1);
    offer_and_kick();
    CHECK(board.lines.adapter() == 1); // the summary indicator is still set
    must(board.memory->write(Gpa{kSummary}, std::uint8_t{0}));
    offer_and_kick();
    CHECK(board.lines.adapter() == 2);
    CHECK(board.lines.io() == io);

    SECTION("in a subclass that is not open") {
        guest.open(static_cast<std::uint8_t>(~isc_bit(6)));
        must(board.memory->write(Gpa{kSummary}, std::uint8_t{0}));
        offer_and_kick();
        CHECK(board.lines.adapter() == 2);
        CHECK(guest.read<std::uint32_t>(kRegAdapterPending) == isc_bit(6));
        guest.open();
        CHECK(board.lines.adapter() == 3);
        CHECK(guest.read<std::uint32_t>(kRegAdapterPending) == 0);
    }
    SECTION("bad places") {
        CHECK(rejected(CCW_CMD_SET_IND, Guest::address(kIndicators)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kArea, 13, 8)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, 0, 13, 1)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0, kArea, 13, 1)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kRam, kArea, 13, 1)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kRam - 1, 7, 1)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kArea, ~std::uint64_t{0}, 1)));
        CHECK(rejected(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kArea, std::uint64_t{1} << 31, 1)));
    }
    SECTION("zeros switch them off, and classic ones can follow") {
        REQUIRE(guest.does(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(0, 0, 0, 0)));
        CHECK(guest.does(CCW_CMD_SET_IND, Guest::address(kIndicators)));
    }
}

TEST_CASE_METHOD(Fixture, "doorbells", "[ccw][virtio]") {
    REQUIRE(live());
    SECTION("by the area") {
        offer(ring);
        CHECK(board.bells.ring(kWindow + kDoorbellArea, 4, 77));
        board.on_loop([] {});
        board.on_loop([] {});
    }
    SECTION("by the notify operation, which gives the cookie") {
        offer(ring);
        CHECK(guest.operate(kNotify, kSchidOne, 0) == Outcome::Done);
        CHECK(guest.result() == 0);
        CHECK(guest.operate(kNotify, kSchidOne, 1) == Outcome::Done);
        CHECK(guest.result() == 4);
        CHECK(guest.operate(kNotify, kSchidOne, 2) == Outcome::Done);
        CHECK(guest.result() == -22);
        CHECK(guest.operate(kNotify, kSchidOne | 1, 0) == Outcome::Done);
        CHECK(guest.result() == -22);
        CHECK(guest.operate(kNotify, kSchidOne, ~std::uint64_t{0}) == Outcome::Done);
        CHECK(guest.result() == -22);
        CHECK(guest.operate(kNotify, 0, 0) == Outcome::OperandException);
    }
    SECTION("as register accesses, when there is no eventfd") {
        const auto at = GENERATE(kRegNotify, kDoorbellArea);
        offer(ring);
        guest.write<std::uint64_t>(at, std::uint64_t{kSchidOne} << 32);
    }
    SECTION("of nobody") {
        offer_and_kick();
        CHECK_FALSE(board.bells.ring(kWindow + kRegNotify, 8, std::uint64_t{kSchidOne} << 32 | 2));
        guest.write<std::uint64_t>(kRegNotify, std::uint64_t{kSchidOne} << 32 | 2);
        guest.write<std::uint64_t>(kRegNotify, ~std::uint64_t{0});
        guest.write<std::uint64_t>(kDoorbellArea + 0xfff8, 0);
    }
    CHECK(ring.take_used().has_value());
    board.on_loop([&] { must(plugged.core.pause()); });
    CHECK(board.bells.bells.empty());
}

TEST_CASE_METHOD(Fixture, "a legacy driver, in either byte order", "[ccw][virtio]") {
    const auto order = GENERATE(DeviceEndian::Little, DeviceEndian::Big);
    constexpr std::array<std::uint8_t, 2> kWidths{2, 4};
    plugged.device.traits_.config_fields = kWidths;
    plugged.device.config = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                             std::byte{5}, std::byte{6}, std::byte{7}, std::byte{8}};
    REQUIRE(guest.enable() == Outcome::Done);
    if (GENERATE(true, false))
        REQUIRE(guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(0)));
    REQUIRE(guest.does(CCW_CMD_VDEV_RESET, {}));
    REQUIRE(guest.does(kCommandSetByteOrder, Guest::byte(static_cast<std::uint8_t>(order))));
    CHECK(rejected(kCommandSetByteOrder, Guest::byte(0)));
    CHECK(offered(1) == 0);
    REQUIRE(guest.does(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE | DRIVER)));
    REQUIRE(guest.does(CCW_CMD_WRITE_FEAT, Guest::features(0, 1u << 9)));
    REQUIRE(guest.does(CCW_CMD_WRITE_FEAT, Guest::features(1, 1))); // has no effect here
    CHECK(plugged.core.driver_features() == feature(9));

    REQUIRE(guest.does(CCW_CMD_READ_CONF, std::vector<std::byte>(8)));
    CHECK(guest.data(8)[0] == std::byte{order == DeviceEndian::Big ? std::uint8_t{2} : std::uint8_t{1}});
    CHECK(guest.data(8)[2] == std::byte{order == DeviceEndian::Big ? std::uint8_t{6} : std::uint8_t{3}});
    CHECK(guest.data(8)[6] == std::byte{7});
    REQUIRE(guest.does(CCW_CMD_WRITE_CONF, std::vector<std::byte>{std::byte{9}}));
    CHECK(plugged.device.config[order == DeviceEndian::Big ? 1 : 0] == std::byte{9});

    CHECK(rejected(CCW_CMD_SET_VQ, Guest::legacy_queue(0, kRing, 16, 8192)));
    REQUIRE(guest.does(CCW_CMD_SET_VQ, Guest::legacy_queue(0, kRing, 16)));
    CHECK(rejected(kCommandSetByteOrder, Guest::byte(1))); // too late
    CHECK(plugged.core.queue(0)->addresses.driver.value == kRing + 256);
    CHECK(plugged.core.queue(0)->addresses.device.value == kRing + 4096);
    REQUIRE(guest.go(0));
    CHECK(plugged.core.running());
    CHECK(plugged.core.device_endian() == order);

    const auto in = [order](auto value) { return in_order(value, order); };
    must(board.memory->write(Gpa{kRing}, in(virtq_desc{0x8000, 16, VIRTQ_DESC_F_WRITE, 0})));
    must(board.memory->write(Gpa{kRing + 256 + 4}, in(std::uint16_t{0})));
    must(board.memory->write(Gpa{kRing + 256 + 2}, in(std::uint16_t{1})));
    kick();
    CHECK(in(must(board.memory->read<std::uint16_t>(Gpa{kRing + 4096 + 2}))) == 1);
    CHECK(in(must(board.memory->read<std::uint32_t>(Gpa{kRing + 4096 + 8}))) == 16);

    REQUIRE(guest.does(CCW_CMD_VDEV_RESET, {}));
    CHECK(plugged.core.device_endian() == DeviceEndian::Little);
}

TEST_CASE_METHOD(Fixture, "a modern driver has no byte order to choose", "[ccw][virtio]") {
    guest.enable();
    REQUIRE(guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(1)));
    CHECK(rejected(kCommandSetByteOrder, Guest::byte(2)));
}

} // namespace virtio_ccw_test
