// SPDX-License-Identifier: Apache-2.0
//
// The window, operations and their condition codes, status and interruptions: docs/ccw-transport.md, sections
// 2 to 5.
#include "transports/ccw/test_support.h"

#include <catch2/catch.hpp>

#include <chrono>

namespace css_test {

using namespace godwit;
using namespace godwit::ccw;
using namespace godwit::ccw::testing;

namespace {

constexpr std::uint32_t kSecond = kSchidOne | 1;
constexpr std::uint8_t CC = kCcwChainCommand;
constexpr std::uint16_t kEndStatus = kPrimary | kSecondary | kStatusPending;

// A loop that moves a byte each time, and so never ends.
std::vector<Ccw1> endless(std::uint8_t more = 0) {
    return {{kCommandSenseId, static_cast<std::uint8_t>(CC | kCcwSuppressLength | more), 8, Guest::kData},
            {kCommandTransfer, 0, 0, Guest::kProgram}};
}

struct Fixture {
    Board board;
    Plugged first{board, 1}, second{board, 0x10};
    Guest guest{board};
};

} // namespace

TEST_CASE_METHOD(Fixture, "the window shows what it is", "[ccw][css]") {
    CHECK(guest.read<std::uint32_t>(kRegId) == kWindowId);
    CHECK(guest.read<std::uint32_t>(kRegVersion) == 1);
    CHECK(guest.read<std::uint32_t>(kRegDoorbells) == 0x10000);
    CHECK(guest.read<std::uint16_t>(kRegId) == 0); // another width
    CHECK(guest.read<std::uint32_t>(0x2c) == 0);
    guest.write<std::uint64_t>(0x30, 1);
    guest.write<std::uint8_t>(kRegIscMask, 0xff);
    CHECK(guest.read<std::uint32_t>(kRegIscMask) == 0);
}

TEST_CASE_METHOD(Fixture, "subchannels are found by counting", "[ccw][css]") {
    const Schib schib = guest.store(kSchidOne);
    CHECK(schib.pmcw.flags == kPmcwValid);
    CHECK(schib.pmcw.devno == 1);
    CHECK(schib.pmcw.lpm == 0x80);
    CHECK(schib.pmcw.pim == 0x80);
    CHECK(guest.store(kSecond).pmcw.devno == 0x10);
    CHECK(guest.operate(kStoreSubchannel, kSchidOne | 2, Guest::kSchib) == Outcome::NotOperational);
    // As it lies in memory: the device number at offset 6, big-endian.
    guest.store(kSecond);
    CHECK(must(board.memory->read<std::uint16_t>(Gpa{Guest::kSchib + 6})) == 0x1000);
}

TEST_CASE_METHOD(Fixture, "exceptions of an operation", "[ccw][css]") {
    CHECK(guest.operate(0xb237, kSchidOne) == Outcome::OperationException);
    CHECK(guest.operate(kStoreSubchannel, 0, Guest::kSchib) == Outcome::OperandException);
    CHECK(guest.operate(kStoreSubchannel, 0x0009'0000, Guest::kSchib) == Outcome::OperandException);
    CHECK(guest.operate(kStoreSubchannel, 0x0003'0000, Guest::kSchib) == Outcome::NotOperational); // set 1
    for (const std::uint32_t function :
         {kStoreSubchannel, kModifySubchannel, kStartSubchannel, kTestSubchannel}) {
        CHECK(guest.operate(function, kSchidOne, 2) == Outcome::SpecificationException);
        CHECK(guest.operate(function, kSchidOne, kRam - 4) == Outcome::AddressingException);
        CHECK(guest.operate(function, kSchidOne, ~std::uint64_t{3}) == Outcome::AddressingException);
    }
    CHECK(guest.operate(kTestPendingInterruption, 0, 2) == Outcome::SpecificationException);
    CHECK(guest.operate(kTestPendingInterruption, 0, kRam) == Outcome::AddressingException);
    // A block that is nowhere: nothing happens.
    guest.write<std::uint64_t>(kRegOperation, Guest::kBlock + 4);
    guest.write<std::uint64_t>(kRegOperation, kRam - 8);
    guest.write<std::uint64_t>(kRegOperation, ~std::uint64_t{7});

    Schib schib = guest.store();
    for (const unsigned bad : {0x8000u, 0x4000u, 0x0400u, 0x0200u, 0x0100u}) {
        schib.pmcw.flags = static_cast<std::uint16_t>(bad);
        CHECK(guest.modify(schib) == Outcome::OperandException);
    }
    schib.pmcw.flags = 0;
    schib.pmcw.chars = 0x2;
    CHECK(guest.modify(schib) == Outcome::OperandException);
    Orb orb = Guest::orb();
    orb.ctrl0 |= kOrbInvalid;
    CHECK(guest.start(orb) == Outcome::OperandException);
    orb = Guest::orb(0x8000'0000);
    CHECK(guest.start(orb) == Outcome::OperandException);
    orb = Guest::orb();
    orb.ctrl1 = 0x40;
    CHECK(guest.start(orb) == Outcome::OperandException);
}

TEST_CASE_METHOD(Fixture, "a subchannel that is not enabled does nothing", "[ccw][css]") {
    for (const std::uint32_t function :
         {kClearSubchannel, kHaltSubchannel, kStartSubchannel, kTestSubchannel, kResumeSubchannel})
        CHECK(guest.operate(function, kSchidOne, Guest::kOrb) == Outcome::NotOperational);
    CHECK(guest.enable() == Outcome::Done);
    CHECK((guest.store().pmcw.flags & kPmcwEnabled) != 0);
    CHECK(guest.test().outcome == Outcome::Code1);
    CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code2);
    Orb orb = Guest::orb();
    orb.lpm = 0x7f;
    CHECK(guest.start(orb) == Outcome::NotOperational);
}

TEST_CASE_METHOD(Fixture, "modify keeps what a driver cannot change", "[ccw][css]") {
    Schib schib = guest.store();
    schib.pmcw.intparm = 7;
    schib.pmcw.devno = 99;
    schib.pmcw.pam = 0;
    schib.pmcw.flags = kPmcwEnabled | 0x3800;
    schib.pmcw.chars = 0x00e0'0005;
    CHECK(guest.modify(schib) == Outcome::Done);
    const Schib now = guest.store();
    CHECK(now.pmcw.intparm == 7);
    CHECK(now.pmcw.devno == 1);
    CHECK(now.pmcw.pam == 0x80);
    CHECK(now.pmcw.flags == (kPmcwEnabled | 0x3800 | kPmcwValid));
    CHECK(now.pmcw.chars == 5);
}

TEST_CASE_METHOD(Fixture, "a program ends in status, and test takes it", "[ccw][css]") {
    guest.enable(kSchidOne, 3, kPmcwConcurrentSense);
    guest.place(std::vector<Ccw1>{{kCommandSenseId, 0, 7, Guest::kData}});
    CHECK(guest.start(Guest::orb()) == Outcome::Done);
    CHECK(guest.start(Guest::orb()) == Outcome::Code1);
    CHECK(guest.modify(guest.store()) == Outcome::Code1);
    CHECK(guest.operate(kHaltSubchannel, kSchidOne) == Outcome::Code1);
    CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code1);
    CHECK(guest.store().pmcw.intparm == 0x1234);
    const Response response = guest.test();
    CHECK(response.outcome == Outcome::Done);
    CHECK(response.scsw.ctrl == (kStartFunction | kEndStatus));
    CHECK(response.scsw.dstat == (kChannelEnd | kDeviceEnd));
    CHECK(response.scsw.cpa == Guest::kProgram + 8);
    CHECK(response.scsw.flags == kOrbFormat1);
    CHECK(load_be<std::uint32_t>(std::span{response.irb}.subspan(12)) == 0x0080'0000);
    CHECK(guest.data(4)[1] == std::byte{0x38});
    CHECK(guest.data(4)[3] == std::byte{virtio::kDeviceBlock});
    CHECK(guest.test().outcome == Outcome::Code1);

    SECTION("sense bytes come with a unit check when they are asked for") {
        const Response refused = guest.command(0xf1, {});
        CHECK(refused.scsw.dstat == kUnitCheck);
        CHECK(refused.scsw.ctrl == (kStartFunction | kEndStatus | kAlert));
        CHECK((refused.scsw.flags & 0x0402) == 0x0402);
        CHECK(load_be<std::uint32_t>(std::span{refused.irb}.subspan(16)) == 0x0100'2000);
        CHECK(refused.irb[32] == std::byte{kSenseCommandReject});
        CHECK(guest.run({{kCommandSense, 0, 32, Guest::kData}}).scsw.cstat == 0);
        CHECK(guest.data(1)[0] == std::byte{0}); // taken already
    }
    SECTION("and wait for the command when not") {
        guest.enable(kSchidOne, 3, 0);
        const Response refused = guest.command(0xf1, {});
        CHECK((refused.scsw.flags & 0x0402) == 0);
        CHECK(guest.run({{kCommandSense, 0, 32, Guest::kData}}).scsw.cstat == 0);
        CHECK(guest.data(1)[0] == std::byte{kSenseCommandReject});
    }
}

TEST_CASE_METHOD(Fixture, "interruptions: mask, order, taking", "[ccw][css]") {
    guest.enable(kSchidOne, 5);
    guest.enable(kSecond, 2);
    guest.place(std::vector<Ccw1>{{kCommandNoOp, 0, 0, 0}});
    guest.start(Guest::orb(), kSchidOne);
    CHECK(board.lines.io() == 0); // masked
    CHECK(guest.taken_interruption() == std::nullopt);
    CHECK(guest.read<std::uint32_t>(kRegIoPending) == isc_bit(5));
    guest.open(isc_bit(2));
    CHECK(board.lines.io() == 0);
    guest.start(Guest::orb(), kSecond);
    CHECK(board.lines.io() == 1);
    guest.open();
    CHECK(board.lines.io() == 2); // one for what became open
    guest.open();
    CHECK(board.lines.io() == 2);
    CHECK(guest.taken_interruption() == kSecond); // the lower subclass first
    CHECK(load_be<std::uint32_t>([&] {
              static std::array<std::byte, 12> code;
              must(board.memory->read(Gpa{Guest::kCode}, code));
              return std::span{code}.subspan(8);
          }()) == 2u << 27);
    CHECK(guest.taken_interruption() == kSchidOne);
    CHECK(guest.taken_interruption() == std::nullopt);
    CHECK(guest.test(kSchidOne).outcome == Outcome::Done); // its status was still there
    CHECK(guest.test(kSecond).outcome == Outcome::Done);

    SECTION("test withdraws the interruption") {
        guest.run({{kCommandNoOp, 0, 0, 0}});
        CHECK(guest.taken_interruption() == std::nullopt);
    }
    SECTION("without an operand it is only taken") {
        guest.start(Guest::orb());
        CHECK(guest.operate(kTestPendingInterruption, 0, 0) == Outcome::Code1);
        CHECK(guest.operate(kTestPendingInterruption, 0, 0) == Outcome::Done);
    }
    SECTION("in one subclass the lower number comes first") {
        guest.enable(kSchidOne, 2);
        guest.start(Guest::orb(), kSecond);
        guest.start(Guest::orb(), kSchidOne);
        CHECK(guest.taken_interruption() == kSchidOne);
    }
}

TEST_CASE_METHOD(Fixture, "a program without end leaves the machine alone until it is halted or cleared",
                 "[ccw][css]") {
    guest.enable();
    guest.enable(kSecond);
    guest.place(endless());
    REQUIRE(guest.start(Guest::orb()) == Outcome::Done);
    CHECK(guest.test().outcome == Outcome::Code1);
    CHECK((guest.store().scsw.ctrl & (kStartFunction | kSubchannelActive | kDeviceActive)) ==
          (kStartFunction | kSubchannelActive | kDeviceActive));
    CHECK(guest.start(Guest::orb()) == Outcome::Code2);
    CHECK(guest.modify(guest.store()) == Outcome::Code2);
    Guest other{board};
    must(board.memory->write(Gpa{0x3000}, to_guest(Ccw1{kCommandNoOp, 0, 0, 0})));
    CHECK(other.start(Guest::orb(0x3000), kSecond) == Outcome::Done);
    CHECK(other.test(kSecond).outcome == Outcome::Done);
    SECTION("halt") {
        CHECK(guest.operate(kHaltSubchannel, kSchidOne) == Outcome::Done);
        CHECK(guest.test().scsw.ctrl == (kHaltFunction | kPrimary | kStatusPending));
    }
    SECTION("clear") {
        CHECK(guest.operate(kClearSubchannel, kSchidOne) == Outcome::Done);
        CHECK(guest.test().scsw.ctrl == (kClearFunction | kStatusPending));
    }
    SECTION("the program itself ends it") {
        must(board.memory->write(Gpa{Guest::kProgram + 8}, to_guest(Ccw1{kCommandNoOp, 0, 0, 0})));
        for (int i = 0; i < 1000 && !(guest.store().scsw.ctrl & kStatusPending); ++i)
            board.on_loop([] {});
        CHECK(guest.test().scsw.dstat == (kChannelEnd | kDeviceEnd));
    }
    CHECK((guest.store().scsw.ctrl) == 0);
    CHECK(guest.run({{kCommandNoOp, 0, 0, 0}}).outcome == Outcome::Done);
}

TEST_CASE_METHOD(Fixture, "suspended and resumed", "[ccw][css]") {
    guest.enable();
    guest.open();
    Orb orb = Guest::orb();
    orb.ctrl0 |= kOrbSuspend;
    guest.place(std::vector<Ccw1>{{kCommandNoOp, CC, 0, 0}, {kCommandSenseId, kCcwSuspend, 7, Guest::kData}});
    SECTION("with an interruption") {
        REQUIRE(guest.start(orb) == Outcome::Done);
        CHECK(board.lines.io() == 1);
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code1);
        const Response response = guest.test();
        CHECK(response.scsw.ctrl == (kStartFunction | kSuspended | kIntermediate | kStatusPending));
        CHECK(response.scsw.cpa == Guest::kProgram + 16);
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Done);
        CHECK(guest.test().scsw.ctrl == (kStartFunction | kSuspended | kIntermediate | kStatusPending));
        guest.place(std::vector<Ccw1>{{kCommandNoOp, CC, 0, 0}, {kCommandSenseId, 0, 7, Guest::kData}});
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Done);
        CHECK(guest.test().scsw.ctrl == (kStartFunction | kEndStatus));
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code2);
    }
    SECTION("silently, and halted") {
        orb.ctrl0 |= kOrbSuppressSuspended;
        REQUIRE(guest.start(orb) == Outcome::Done);
        CHECK(guest.test().outcome == Outcome::Code1);
        CHECK(guest.operate(kHaltSubchannel, kSchidOne) == Outcome::Done);
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code1);
        guest.test();
        CHECK(guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Code2);
    }
}

TEST_CASE_METHOD(Fixture, "program-controlled interruptions", "[ccw][css]") {
    guest.enable();
    guest.open();
    SECTION("are part of the final status of a short program") {
        const Response response = guest.run({{kCommandNoOp, kCcwInterrupt, 0, 0}});
        CHECK(response.scsw.ctrl == (kStartFunction | kEndStatus));
        CHECK(response.scsw.cstat == kProgramInterruption);
    }
    SECTION("are intermediate status of a long one, which goes on") {
        guest.place(endless(kCcwInterrupt));
        guest.start(Guest::orb());
        const Response response = guest.test();
        CHECK((response.scsw.ctrl & kStatusBits) == (kIntermediate | kStatusPending));
        CHECK(response.scsw.cstat == kProgramInterruption);
        CHECK((guest.store().scsw.ctrl & kStartFunction) != 0);
        CHECK(guest.operate(kHaltSubchannel, kSchidOne) == Outcome::Done);
        guest.test();
    }
}

TEST_CASE_METHOD(Fixture, "a reset of the machine leaves nothing", "[ccw][css]") {
    guest.enable();
    guest.open();
    guest.place(endless());
    guest.start(Guest::orb());
    board.on_loop([&] { board.css->reset(); });
    CHECK(guest.read<std::uint32_t>(kRegIscMask) == 0);
    CHECK(guest.store().scsw.ctrl == 0);
    CHECK(guest.store().pmcw.flags == kPmcwValid);
    CHECK(guest.store().pmcw.devno == 1);
}

TEST_CASE("places on the channel subsystem are refused by name", "[ccw][css]") {
    Board board;
    Plugged first{board, 7};
    virtio::FakeDevice device;
    virtio::Core core{device, *board.memory};
    board.on_loop([&] {
        const auto again = VirtioCcw::create(*board.css, core, board.bells, 7);
        REQUIRE_FALSE(again.ok());
        CHECK(again.error().text == "fake0: device number 0.0.0007 is taken by fake0");
    });
}

} // namespace css_test
