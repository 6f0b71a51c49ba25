// SPDX-License-Identifier: Apache-2.0
//
// Each command of a virtio device with each kind of length, address and flags, against what virtio 1.2
// section 4.3.1.2 and the architecture say of it (docs/ccw-transport.md, sections 6 and 7).
#include "transports/ccw/test_support.h"

#include <catch2/catch.hpp>

namespace length_matrix_test {

using namespace godwit;
using namespace godwit::ccw;
using namespace godwit::ccw::testing;

namespace {

constexpr std::uint8_t kEnd = kChannelEnd | kDeviceEnd;
constexpr std::uint8_t SLI = kCcwSuppressLength;

enum class Kind { Immediate, Read, Control };

struct Command {
    const char* name;
    std::uint8_t code;
    Kind kind;
    std::uint16_t least; // shortest exact length
    std::uint16_t most;  // longest exact length
    bool argument;       // a read command that looks at the driver's bytes first
    std::vector<std::byte> data;
    std::int32_t revision = 1;
};

// Memory that the commands name is in RAM and free.
std::vector<Command> commands() {
    const auto config = std::vector<std::byte>(8, std::byte{0x5a});
    ByteWriter queue;
    queue.be(std::uint64_t{0x20000});
    queue.be(std::uint32_t{0});
    queue.be(std::uint16_t{0});
    queue.be(std::uint16_t{16});
    queue.be(std::uint64_t{0x21000});
    queue.be(std::uint64_t{0x22000});
    const std::vector<std::byte> block = queue.take();
    return {
        {"no-operation", kCommandNoOp, Kind::Immediate, 0, 0, false, {}},
        {"reset", CCW_CMD_VDEV_RESET, Kind::Immediate, 0, 0, false, {}},
        {"sense", kCommandSense, Kind::Read, 32, 32, false, std::vector<std::byte>(32)},
        {"sense id", kCommandSenseId, Kind::Read, 7, 256, false, std::vector<std::byte>(256)},
        {"set revision", CCW_CMD_SET_VIRTIO_REV, Kind::Control, 4, 4, false, Guest::revision(1),
         kRevisionUnset},
        {"read features", CCW_CMD_READ_FEAT, Kind::Read, 5, 5, true, Guest::features(0)},
        {"write features", CCW_CMD_WRITE_FEAT, Kind::Control, 5, 5, false, Guest::features(0)},
        {"read configuration", CCW_CMD_READ_CONF, Kind::Read, 1, 8, false, config},
        {"write configuration", CCW_CMD_WRITE_CONF, Kind::Control, 1, 8, false, config},
        {"read status", CCW_CMD_READ_STATUS, Kind::Read, 1, 1, false, Guest::byte(0), 2},
        {"write status", CCW_CMD_WRITE_STATUS, Kind::Control, 1, 1, false, Guest::byte(1)},
        {"set queue", CCW_CMD_SET_VQ, Kind::Control, 32, 32, false, block},
        {"set legacy queue", CCW_CMD_SET_VQ, Kind::Control, 16, 16, false,
         Guest::legacy_queue(0, 0x20000, 16), 0},
        {"read queue configuration", CCW_CMD_READ_VQ_CONF, Kind::Read, 4, 4, true, std::vector<std::byte>(4)},
        {"set indicators", CCW_CMD_SET_IND, Kind::Control, 8, 8, false, Guest::address(0x30000)},
        {"set configuration indicators", CCW_CMD_SET_CONF_IND, Kind::Control, 8, 8, false,
         Guest::address(0x30008)},
        {"set adapter indicators", CCW_CMD_SET_IND_ADAPTER, Kind::Control, 25, 25, false,
         Guest::thinint(0x30010, 0x30020, 3, 2)},
        {"set byte order", kCommandSetByteOrder, Kind::Control, 1, 1, false, Guest::byte(1), 0},
    };
}

struct Ended {
    std::uint8_t device;
    std::uint8_t subchannel;
    bool operator==(const Ended&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Ended& e) {
    return out << fmt::format("device {:#x} subchannel {:#x}", e.device, e.subchannel);
}
constexpr Ended kGood{kEnd, 0};
constexpr Ended kLength{kEnd, kIncorrectLength};
constexpr Ended kReject{kEnd | kUnitCheck, 0};
constexpr Ended kDataCheck{kEnd, kProgramCheck};
constexpr Ended kCheck{0, kProgramCheck};

// A fresh device for each program, in the revision that the command wants.
struct Bench {
    explicit Bench(const Command& command) {
        plugged.device.config.fill(std::byte{0x11});
        guest.enable();
        if (command.revision != kRevisionUnset)
            guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(static_cast<std::uint16_t>(command.revision)));
        std::vector<std::byte> area(1024, std::byte{0});
        std::copy(command.data.begin(), command.data.end(), area.begin());
        must(board.memory->write(Gpa{Guest::kData}, area));
        before = snapshot();
    }
    Ended run(const std::vector<Ccw1>& program) {
        const Response response = guest.run(program);
        return {response.scsw.dstat, response.scsw.cstat};
    }
    // All that a command may change in the device.
    std::vector<std::byte> snapshot() {
        return board.on_loop([&] {
            (void)plugged.core.pause();
            StateWriter writer{"virtio-fake", 3};
            must(plugged.core.save(writer));
            (void)plugged.core.resume();
            std::vector<std::byte> bytes{writer.bytes().begin(), writer.bytes().end()};
            return bytes;
        });
    }
    // Status, last command and place in the program differ in any case: look behind the subchannel.
    bool changed() {
        constexpr std::ptrdiff_t kSubchannelBytes = 402; // its record, with the ORB
        const auto now = snapshot();
        return !std::equal(before.begin() + kSubchannelBytes, before.end(), now.begin() + kSubchannelBytes,
                           now.end());
    }
    Board board;
    Plugged plugged{board};
    Guest guest{board};
    std::vector<std::byte> before;
};

} // namespace

TEST_CASE("the length matrix", "[ccw][lengths]") {
    for (const Command& c : commands()) {
        INFO(c.name);
        const auto ccw = [&c](std::uint8_t flags, std::uint32_t count, std::uint32_t at = Guest::kData) {
            return Ccw1{c.code, flags, static_cast<std::uint16_t>(count), at};
        };
        const auto ends = [&c](const std::vector<Ccw1>& program) { return Bench{c}.run(program); };
        const bool immediate = c.kind == Kind::Immediate;
        // What a driver asked for too few bytes gets.
        const Ended few_suppressed = c.kind == Kind::Read && !c.argument ? kGood : kReject;

        CHECK(ends({ccw(0, c.least)}) == kGood);
        CHECK(ends({ccw(0, c.most)}) == kGood);
        CHECK(ends({ccw(0, c.most + 1u)}) == kLength);
        CHECK(ends({ccw(SLI, c.most + 1u)}) == kGood);
        CHECK(ends({ccw(SLI, 0xffff, 0x40000)}).subchannel == 0);
        if (c.least > 1) {
            CHECK(ends({ccw(0, c.least - 1u)}) == kLength);
            CHECK(ends({ccw(SLI, c.least - 1u)}) == few_suppressed);
        }
        CHECK(ends({ccw(0, 0)}) == (immediate ? kGood : kLength));
        CHECK(ends({ccw(SLI, 0)}) == (immediate ? kGood : few_suppressed));

        // Data outside RAM: only when it moves.
        const std::uint16_t some = std::max<std::uint16_t>(c.most, 1);
        CHECK(ends({ccw(SLI, some, kRam)}) == (immediate ? kGood : kDataCheck));
        CHECK(ends({ccw(SLI, some, 0x8000'0000)}) == kCheck);
        if (c.least > 1)
            CHECK(ends({ccw(0, c.least, static_cast<std::uint32_t>(kRam) - 1)}) == kDataCheck);

        // Chained: data in pieces, another command behind.
        if (c.least > 1) {
            const auto split = static_cast<std::uint16_t>(c.least - 1);
            CHECK(ends({{c.code, kCcwChainData, split, Guest::kData}, {0, 0, 1, Guest::kData + split}}) ==
                  kGood);
            CHECK(ends({{c.code, kCcwChainData, split, Guest::kData},
                        {0, 0, 1, static_cast<std::uint32_t>(kRam)}}) == kDataCheck);
            CHECK(ends({{c.code, kCcwChainData | SLI, c.most, Guest::kData}, {0, SLI, 1, Guest::kData}}) ==
                  kLength);
        }
        CHECK(ends({{c.code, kCcwChainCommand, c.least, Guest::kData}, {kCommandNoOp, 0, 0, 0}}) == kGood);
        CHECK(ends({{c.code, kCcwChainCommand, c.least, Guest::kData}, {0x20, 0, 0, 0}}) == kCheck);

        // Flags that are not allowed.
        for (const std::uint8_t flag : {kCcwIndirect, kCcwModifiedIndirect, kCcwSuspend})
            CHECK(ends({ccw(flag, c.least)}) == kCheck);
        CHECK(ends({ccw(kCcwChainData, 0)}) == kCheck);
    }
}

TEST_CASE("a command that fell short, or whose data is nowhere, has no effect", "[ccw][lengths]") {
    for (const Command& c : commands()) {
        if (c.kind != Kind::Control || c.least == 1)
            continue;
        INFO(c.name);
        for (const std::uint8_t flags : {std::uint8_t{0}, SLI}) {
            Bench bench{c};
            bench.run({{c.code, flags, static_cast<std::uint16_t>(c.least - 1), Guest::kData}});
            CHECK_FALSE(bench.changed());
        }
        Bench nowhere{c};
        nowhere.run({{c.code, SLI, c.least, static_cast<std::uint32_t>(kRam) - 2}});
        CHECK_FALSE(nowhere.changed());
        if (c.code != CCW_CMD_WRITE_FEAT && c.code != kCommandSetByteOrder) { // those write what was there
            Bench whole{c};
            whole.run({{c.code, 0, c.least, Guest::kData}});
            CHECK(whole.changed());
        }
    }
}

} // namespace length_matrix_test
