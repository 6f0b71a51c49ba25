// SPDX-License-Identifier: Apache-2.0
//
// Channel programs, good and hostile, against a device that moves bytes: docs/ccw-transport.md, section 6.
#include "transports/ccw/interpreter.h"

#include "devices/virtio/driver_fake.h"
#include "transports/ccw/guest_form.h"
#include "transports/ccw/virtio_spec.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <random>

namespace interpreter_test {

using namespace godwit;
using namespace godwit::ccw;
using virtio::must;
using Kind = ProgramStop::Kind;

namespace {

constexpr std::uint32_t kAt = 0x2000;
constexpr std::uint32_t kData = 0x4000;
constexpr std::uint64_t kRam = 1 << 20;
constexpr std::uint8_t kRead = 0x02, kWrite = 0x01, kAbsent = 0xf1;
constexpr std::uint8_t CC = kCcwChainCommand, CD = kCcwChainData, SLI = kCcwSuppressLength,
                       PCI = kCcwInterrupt, SKIP = kCcwSkip, SUSP = kCcwSuspend;
constexpr std::uint8_t kEnd = kChannelEnd | kDeviceEnd;

// Reads 8 bytes 1 to 8, takes 8.
class Mover final : public ChannelDevice {
  public:
    const std::string& name() const override { return name_; }
    Reply execute(std::uint8_t command, DataStream& data) override {
        ++commands;
        if (command == kRead) {
            std::array<std::byte, 8> bytes;
            for (std::size_t i = 0; i < bytes.size(); ++i)
                bytes[i] = static_cast<std::byte>(i + 1);
            data.give(bytes);
            return Reply::Done;
        }
        if (command != kWrite)
            return Reply::Unknown;
        std::array<std::byte, 8> bytes;
        if (data.take(bytes) != bytes.size())
            return Reply::Short;
        written.assign(bytes.begin(), bytes.end());
        return answer;
    }
    void enabled_changed() override {}
    bool wants_attention() const override { return false; }
    std::optional<std::uint8_t> adapter_attention() const override { return std::nullopt; }
    std::uint16_t queue_count() const override { return 0; }
    void ring(std::uint16_t) override {}

    int commands = 0;
    Reply answer = Reply::Done;
    std::vector<std::byte> written;

  private:
    std::string name_ = "mover";
};

struct Machine {
    Machine() {
        state.ccw_fmt_1 = true;
        state.channel_prog = kAt;
        state.id.cu_type = kVirtioControlUnit;
        state.orb->orb.ctrl0 = kOrbFormat1;
    }
    void place(const std::vector<Ccw1>& program, std::uint64_t at = kAt) {
        for (const Ccw1& ccw : program) {
            must(memory->write(Gpa{at}, to_guest(ccw)));
            at += kCcwSize;
        }
    }
    ProgramStop run(unsigned budget = 1000) { return Interpreter{*memory, device, state}.run(budget); }
    ProgramStop run(const std::vector<Ccw1>& program) {
        place(program);
        return run();
    }
    std::uint8_t byte(std::uint64_t at) { return must(memory->read<std::uint8_t>(Gpa{at})); }

    std::unique_ptr<GuestMemory> memory = must(GuestMemory::create(kRam, kRam));
    Mover device;
    SubchannelState state;
};

bool good(const ProgramStop& stop) {
    return stop.kind == Kind::Ended && stop.device_status == kEnd && stop.subchannel_status == 0;
}
bool checked(const ProgramStop& stop) {
    return stop.kind == Kind::Ended && stop.subchannel_status == kProgramCheck;
}

} // namespace

TEST_CASE("a chain of commands runs to its end", "[ccw][program]") {
    Machine m;
    const ProgramStop stop =
        m.run({{kWrite, CC, 8, kData}, {kRead, CC, 8, kData + 64}, {kCommandNoOp, 0, 0, 0}});
    CHECK(good(stop));
    CHECK(m.device.commands == 2);
    CHECK(m.byte(kData + 64) == 1);
    CHECK(m.byte(kData + 71) == 8);
    CHECK(m.state.channel_prog == kAt + 16);
}

TEST_CASE("data runs on through a chain of CCWs", "[ccw][program]") {
    Machine m;
    SECTION("to the driver, with a gap that is skipped and a transfer in channel") {
        must(m.memory->write(Gpa{kData}, std::uint64_t{0}));
        m.place({{0xff, CD | SKIP, 2, kData + 2}, {0, 0, 3, kData + 4}}, 0x3000);
        CHECK(good(m.run({{kRead, CD, 3, kData}, {kCommandTransfer, 0, 0, 0x3000}})));
        CHECK(m.byte(kData + 1) == 2);
        CHECK(m.byte(kData + 2) == 3);
        CHECK(m.byte(kData + 3) == 0); // skipped
        CHECK(m.byte(kData + 4) == 6);
        CHECK(m.byte(kData + 6) == 8);
        CHECK(m.state.channel_prog == 0x3008);
    }
    SECTION("from the driver") {
        must(m.memory->write(Gpa{kData}, std::uint64_t{0x0807060504030201}));
        CHECK(good(m.run({{kWrite, CD, 1, kData}, {0, CD, 6, kData + 1}, {0, 0, 1, kData + 7}})));
        CHECK(m.device.written.size() == 8);
        CHECK(m.device.written[7] == std::byte{8});
    }
    SECTION("data chaining wins over command chaining") {
        CHECK(good(m.run({{kRead, CD | CC, 4, kData}, {0, 0, 4, kData + 4}})));
        CHECK(m.device.commands == 1);
    }
    SECTION("a CCW is fetched when its bytes are wanted: this one was written by the read before it") {
        // The read stores 01..08 over the third CCW, whose command becomes a write of 0x0304 bytes.
        const ProgramStop stop =
            m.run({{kRead, CC, 8, kAt + 16}, {kCommandNoOp, CC, 0, 0}, {kAbsent, 0, 0, 0}});
        CHECK(checked(stop)); // its flags ask for a suspension that the ORB does not allow
        CHECK(m.device.commands == 1);
    }
}

TEST_CASE("lengths that differ", "[ccw][program]") {
    Machine m;
    const auto status = [&m](const Ccw1& ccw) {
        const ProgramStop stop = m.run({ccw});
        m.state.channel_prog = kAt;
        return std::pair{stop.device_status, stop.subchannel_status};
    };
    const std::pair wrong{kEnd, kIncorrectLength};
    const std::pair fine{kEnd, std::uint8_t{0}};
    const std::pair rejected{static_cast<std::uint8_t>(kEnd | kUnitCheck), std::uint8_t{0}};
    CHECK(status({kRead, 0, 7, kData}) == wrong);
    CHECK(status({kRead, 0, 9, kData}) == wrong);
    CHECK(status({kRead, SLI, 7, kData}) == fine);
    CHECK(status({kRead, SLI, 9, kData}) == fine);
    CHECK(status({kRead, SLI, 0, kData}) == fine);
    m.device.written.clear();
    CHECK(status({kWrite, 0, 7, kData}) == wrong);
    CHECK(status({kWrite, SLI, 7, kData}) == rejected);
    CHECK(m.device.written.empty()); // no effect
    CHECK(status({kWrite, 0, 9, kData}) == wrong);
    CHECK(m.device.written.size() == 8); // but this one had all it needs
    CHECK(status({kCommandNoOp, 0, 1, kData}) == wrong);
    CHECK(status({kCommandNoOp, SLI, 1, kData}) == fine);
    m.state.orb->orb.ctrl1 = kOrb1SuppressImmediate;
    CHECK(status({kCommandNoOp, 0, 1, kData}) == fine);
    CHECK(status({kRead, 0, 7, kData}) == wrong);
    m.state.orb->orb.ctrl1 = 0;

    SECTION("the residual count is the last CCW's") {
        CHECK(m.run({{kRead, SLI, 20, kData}}).count == 12);
        m.state.channel_prog = kAt;
        CHECK(m.run({{kRead, CD, 3, kData}, {0, SLI, 7, kData}}).count == 2);
    }
    SECTION("a chain that the data does not reach is an incorrect length, also with SLI") {
        const ProgramStop stop = m.run({{kRead, CD | SLI, 8, kData}, {0, SLI, 4, kData}});
        CHECK(stop.subchannel_status == kIncorrectLength);
    }
    SECTION("an incorrect length ends the chain of commands") {
        m.device.commands = 0;
        CHECK(m.run({{kRead, CC, 9, kData}, {kRead, 0, 8, kData}}).subchannel_status == kIncorrectLength);
        CHECK(m.device.commands == 1);
    }
}

TEST_CASE("what the device says becomes unit check", "[ccw][program]") {
    Machine m;
    SECTION("unknown") {
        const ProgramStop stop = m.run({{kAbsent, CC, 8, kData}, {kCommandNoOp, 0, 0, 0}});
        CHECK(stop.device_status == kUnitCheck);
        CHECK(stop.sense == kSenseCommandReject);
        CHECK(stop.count == 8);
    }
    SECTION("rejected, failed") {
        m.device.answer = Reply::Reject;
        CHECK(m.run({{kWrite, 0, 8, kData}}).sense == kSenseCommandReject);
        m.state.channel_prog = kAt;
        m.device.answer = Reply::Failed;
        CHECK(m.run({{kWrite, 0, 8, kData}}).sense == kSenseEquipmentCheck);
    }
}

TEST_CASE("sense and sense id", "[ccw][program]") {
    Machine m;
    m.state.sense_data[0] = kSenseCommandReject;
    CHECK(good(m.run({{kCommandSense, CC, 32, kData}, {kCommandSenseId, 0, 7, kData + 32}})));
    CHECK(m.byte(kData) == kSenseCommandReject);
    CHECK(m.state.sense_data[0] == 0);
    CHECK(m.byte(kData + 32) == 0xff);
    CHECK(m.byte(kData + 33) == 0x38);
    CHECK(m.byte(kData + 34) == 0x32);
    m.state.channel_prog = kAt;
    CHECK(good(m.run({{kCommandSenseId, 0, 256, kData}})));
    m.state.channel_prog = kAt;
    CHECK(m.run({{kCommandSenseId, 0, 257, kData}}).subchannel_status == kIncorrectLength);
}

TEST_CASE("each wrong CCW is a program check", "[ccw][program]") {
    struct Case {
        const char* what;
        std::vector<Ccw1> program;
    };
    const std::uint32_t past_ram = kRam;
    const std::vector<Case> cases{
        {"command of kind 0", {{0x10, 0, 8, kData}}},
        {"kind 8 that is no transfer", {{kCommandNoOp, CC, 0, 0}, {0x18, 0, 0, kAt}}},
        {"transfer first", {{kCommandTransfer, 0, 0, kAt + 8}, {kCommandNoOp, 0, 0, 0}}},
        {"transfer to a transfer",
         {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, kAt + 16}, {kCommandTransfer, 0, 0, kAt}}},
        {"transfer to itself", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, kAt + 8}}},
        {"transfer with flags", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, CC, 0, kAt}}},
        {"transfer with a count", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 1, kAt}}},
        {"transfer that is not aligned", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, kAt + 4}}},
        {"transfer with 32 bits", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, 0x8000'0000 | kAt}}},
        {"transfer out of RAM", {{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, past_ram}}},
        {"data address with 32 bits", {{kRead, 0, 8, 0x8000'0000 | kData}}},
        {"the same without data", {{kCommandNoOp, 0, 0, 0x8000'0000}}},
        {"indirect", {{kRead, kCcwIndirect, 8, kData}}},
        {"modified indirect", {{kRead, kCcwModifiedIndirect, 8, kData}}},
        {"suspend without permission", {{kRead, SUSP, 8, kData}}},
        {"no count with chained data", {{kRead, CD, 0, kData}, {0, 0, 8, kData}}},
        {"no count in chained data", {{kRead, CD, 4, kData}, {0, 0, 0, kData}}},
        {"suspend in chained data", {{kRead, CD, 4, kData}, {0, SUSP, 4, kData}}},
        {"indirect in chained data", {{kRead, CD, 4, kData}, {0, kCcwIndirect, 4, kData}}},
        {"two transfers in chained data",
         {{kRead, CD, 4, kData}, {kCommandTransfer, 0, 0, kAt + 16}, {kCommandTransfer, 0, 0, kAt}}},
        {"data outside RAM", {{kRead, 0, 8, past_ram}}},
        {"data that runs out of RAM", {{kWrite, 0, 8, past_ram - 4}}},
        {"data that runs to 2 GiB", {{kRead, 0, 8, 0x7fff'fffc}}},
        {"chained data outside RAM", {{kRead, CD, 4, kData}, {0, 0, 4, past_ram}}},
    };
    for (const Case& c : cases) {
        INFO(c.what);
        Machine m;
        m.state.orb->orb.ctrl0 = kOrbFormat1;
        CHECK(checked(m.run(c.program)));
        CHECK(m.device.written.empty());
    }
    SECTION("the program itself lies in the wrong place") {
        for (const std::uint64_t at : {std::uint64_t{kAt + 4}, kRam, std::uint64_t{0x7fff'fff8},
                                       kAddressLimit, ~std::uint64_t{7}, ~std::uint64_t{0}}) {
            Machine m;
            m.state.channel_prog = at;
            CHECK(checked(m.run(10)));
        }
    }
    SECTION("it runs out of RAM") {
        Machine m;
        m.place({{kCommandNoOp, CC, 0, 0}}, kRam - 8);
        m.state.channel_prog = kRam - 8;
        CHECK(checked(m.run(10)));
    }
    SECTION("format 0") {
        Machine m;
        m.state.ccw_fmt_1 = false;
        CHECK(checked(m.run({{kRead, 0, 8, kData}})));
    }
    SECTION("what was transferred before stays") {
        Machine m;
        m.run({{kRead, CD, 4, kData}, {0, 0, 4, past_ram}});
        CHECK(m.byte(kData + 3) == 4);
    }
    SECTION("skipped data may lie anywhere") {
        Machine m;
        CHECK(good(m.run({{kRead, SKIP, 8, past_ram}})));
    }
}

TEST_CASE("loops are bounded", "[ccw][program]") {
    Machine m;
    SECTION("commands that move nothing end after 255 of them") {
        const ProgramStop stop = m.run({{kCommandNoOp, CC, 0, 0}, {kCommandTransfer, 0, 0, kAt}});
        CHECK(checked(stop));
        CHECK(m.state.ccw_no_data_cnt == 255);
    }
    SECTION("commands that move data run on, a budget at a time") {
        m.place({{kRead, CC, 8, kData}, {kCommandTransfer, 0, 0, kAt}});
        for (int turn = 1; turn <= 5; ++turn) {
            CHECK(m.run(10).kind == Kind::Budget);
            CHECK(m.device.commands == 5 * turn);
        }
    }
    SECTION("a loop of chained data ends where the device does") {
        const ProgramStop stop = m.run({{kRead, CD, 1, kData}, {kCommandTransfer, 0, 0, kAt}});
        CHECK(stop.subchannel_status == kIncorrectLength);
        CHECK(m.byte(kData) == 8);
    }
    SECTION("huge counts move what the device has") {
        CHECK(good(m.run({{kRead, SLI, 0xffff, 0x10000}})));
    }
}

TEST_CASE("a program is suspended and goes on", "[ccw][program]") {
    Machine m;
    m.state.orb->orb.ctrl0 |= kOrbSuspend;
    m.place({{kRead, CC, 8, kData}, {kWrite, SUSP, 8, kData}});
    CHECK(m.run().kind == Kind::Suspended);
    CHECK(m.device.commands == 1);
    CHECK(m.state.channel_prog == kAt + 8);
    CHECK(m.run().kind == Kind::Suspended); // the flag is still there
    m.place({{kWrite, 0, 8, kData}}, kAt + 8);
    CHECK(good(m.run()));
    CHECK(m.device.written.size() == 8);
}

TEST_CASE("program-controlled interruptions are told", "[ccw][program]") {
    Machine m;
    CHECK(m.run({{kRead, CC | PCI, 8, kData}, {kRead, 0, 8, kData}}).interrupt);
    m.state.channel_prog = kAt;
    CHECK(m.run({{kRead, CD, 4, kData}, {0, PCI, 4, kData}}).interrupt);
    m.state.channel_prog = kAt;
    CHECK_FALSE(m.run({{kRead, 0, 8, kData}}).interrupt);
}

} // namespace interpreter_test
