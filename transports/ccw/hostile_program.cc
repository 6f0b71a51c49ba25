// SPDX-License-Identifier: Apache-2.0
#include "transports/ccw/hostile_program.h"

#include "transports/ccw/test_support.h"
#include "vmm/base/fuzz.h"

#include <algorithm>
#include <stdexcept>

namespace godwit::ccw::testing {

namespace {

using fuzz::Input;
using virtio::FakeDevice;

constexpr std::uint32_t kProgram = 0x2000;
constexpr std::uint32_t kPlaces = 16; // CCWs in the program
constexpr unsigned kTurns = 4;        // slices that a long program gets

// Mostly commands that exist, addresses that are near, and now and then anything.
Ccw1 ccw_of(Input& in) {
    static constexpr std::array<std::uint8_t, 18> kCodes{
        kCommandNoOp,           kCommandSense,        kCommandTransfer,     kCommandSenseId,
        CCW_CMD_WRITE_FEAT,     CCW_CMD_READ_FEAT,    CCW_CMD_SET_VQ,       CCW_CMD_WRITE_CONF,
        CCW_CMD_READ_CONF,      CCW_CMD_WRITE_STATUS, CCW_CMD_READ_VQ_CONF, CCW_CMD_VDEV_RESET,
        CCW_CMD_SET_IND,        CCW_CMD_SET_CONF_IND, CCW_CMD_READ_STATUS,  CCW_CMD_SET_IND_ADAPTER,
        CCW_CMD_SET_VIRTIO_REV, kCommandSetByteOrder};
    Ccw1 ccw;
    const std::uint8_t choice = in.byte();
    ccw.cmd_code = choice < 240 ? kCodes[choice % kCodes.size()] : in.byte();
    ccw.flags = in.byte() & (choice % 7 == 0 ? 0xff : 0xf8);
    ccw.count = static_cast<std::uint16_t>(choice % 5 == 0 ? in.word() : in.byte() % 40);
    switch (in.byte() % 4) {
    case 0:
        ccw.cda = kProgram + in.byte() % kPlaces * kCcwSize; // into the program itself
        break;
    case 1:
        ccw.cda = in.number<std::uint32_t>();
        break;
    default:
        ccw.cda = 0x4000 + in.byte() * 8u;
    }
    if (ccw.cmd_code == kCommandTransfer && choice % 3 != 0)
        ccw = {kCommandTransfer, 0, 0, kProgram + in.byte() % kPlaces * kCcwSize};
    return ccw;
}

// Save, load, save: whatever the driver did, the state is one that a receiver takes.
void check_state(Subchannel& subchannel) {
    StateWriter writer{"s390_subch_dev", 1};
    writer.fields(subchannel.state());
    SubchannelState loaded;
    loaded.devno = subchannel.devno();
    ByteReader in{writer.bytes()};
    StateReader reader{in, "s390_subch_dev"};
    if (const Status status = reader.fields(loaded); !status.ok())
        throw std::runtime_error{status.error().text};
    if (!(loaded == subchannel.state()))
        throw std::runtime_error{"the state changed on its way"};
}

// The state of the device as it might come in a stream: what is taken can be given on.
void change_state(virtio::Core& core, Input& in) {
    const auto save = [&core] {
        StateWriter writer{"virtio-fake", 3};
        must(core.save(writer));
        return std::vector<std::byte>{writer.bytes().begin(), writer.bytes().end()};
    };
    const auto load = [&core](std::span<const std::byte> bytes) {
        ByteReader from{bytes};
        StateReader reader{from, "virtio-fake"};
        return core.load(reader, 3).ok() && from.at_end();
    };
    must(core.pause());
    auto bytes = save();
    for (unsigned left = in.byte() % 4; left != 0; --left) {
        const std::size_t at = in.word() % 700;
        const auto value = in.take(1 + in.byte() % 4);
        if (at + value.size() <= bytes.size())
            std::copy(value.begin(), value.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (load(bytes)) {
        must(core.commit_load());
        if (!load(save()))
            throw std::runtime_error{"what was taken cannot be given on"};
    }
    core.discard_load();
    (void)core.resume();
}

} // namespace

void drive(std::span<const std::byte> bytes) {
    // No loop runs: turns are taken by hand, so that a run depends on its input alone.
    const auto loop = must(Loop::create());
    const auto memory = must(GuestMemory::create(kRam, kRam));
    Bus mmio{"mmio"};
    FakeLines lines;
    FakeBells bells;
    auto css = must(ChannelSubsystem::create(*loop, mmio, *memory, lines, {kWindow, kIoGsi, kAdapterGsi}));
    FakeDevice device;
    virtio::Core core{device, *memory};
    auto transport = must(VirtioCcw::create(*css, core, bells, 1));
    auto& subchannel = const_cast<Subchannel&>(transport->subchannel());

    Schib schib;
    (void)subchannel.store(schib);
    schib.pmcw.flags = kPmcwEnabled;
    (void)subchannel.modify(schib);

    Input in{bytes};
    while (!in.empty()) {
        const std::uint8_t what = in.byte();
        for (std::uint32_t at = 0; what % 2 == 0 && at < kPlaces; ++at)
            must(memory->write(Gpa{kProgram + at * kCcwSize}, to_guest(ccw_of(in))));
        for (std::uint32_t at = 0; what % 8 == 1 && at < 64; ++at)
            must(memory->write(Gpa{0x4000u + in.byte()}, in.byte()));
        std::vector<std::byte> irb;
        switch (what % 11) {
        case 0:
            (void)subchannel.halt();
            break;
        case 1:
            (void)subchannel.clear();
            break;
        case 2:
            (void)subchannel.resume();
            break;
        case 3:
            schib.pmcw.flags = static_cast<std::uint16_t>(in.word());
            (void)subchannel.modify(schib);
            break;
        default: {
            (void)subchannel.test(irb);
            Orb orb{in.byte(), static_cast<std::uint16_t>(kOrbFormat1 | in.word()), 0xff, 0, kProgram};
            if (what % 13 == 0)
                orb.cpa = in.number<std::uint32_t>();
            (void)subchannel.start(orb);
            for (unsigned turn = 0; turn < kTurns; ++turn)
                subchannel.run();
        }
        }
        check_state(subchannel);
        if (what % 5 == 0)
            (void)subchannel.test(irb);
        if (what % 7 == 3)
            change_state(core, in);
        transport->notify_queue(what % 3);
        transport->notify_config();
    }
    must(core.pause());
    StateWriter writer{"virtio-fake", 3};
    must(core.save(writer));
    transport.reset();
}

} // namespace godwit::ccw::testing
