// SPDX-License-Identifier: Apache-2.0
//
// The state of a ccw device and of its channel subsystem: round trips in every state that a channel program
// can be in, what the guest hears afterwards, the documented order, and bytes that nobody should trust.
#include "transports/ccw/test_support.h"

#include <catch2/catch.hpp>

#include <cstring>

namespace state_test {

using namespace godwit;
using namespace godwit::ccw;
using namespace godwit::ccw::testing;
using namespace godwit::virtio;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t kIndicators = 0x30000, kConfigIndicators = 0x30008, kSummary = 0x30010,
                        kArea = 0x30020;
constexpr std::uint64_t kRing = 0x50000;
constexpr std::size_t kCtrlAt = 7 + 28 + 2;   // of the subchannel's SCSW in the section
constexpr std::size_t kSubchannelBytes = 402; // with the ORB
constexpr std::size_t kSchidAt = 2;

struct Machine {
    void hold() {
        board.on_loop([&] {
            board.css->pause();
            must(plugged.core.pause());
        });
    }
    void go_on() {
        board.on_loop([&] {
            must(plugged.core.resume());
            board.css->resume();
        });
    }
    // The device's section, then the channel subsystem's.
    std::array<Bytes, 2> save(OrderTrace* trace = nullptr) {
        return board.on_loop([&] {
            StateWriter device{"virtio-fake", 3, trace};
            must(plugged.core.save(device));
            StateWriter css{"css", 1};
            must(board.css->section().save(css));
            return std::array{Bytes{device.bytes().begin(), device.bytes().end()},
                              Bytes{css.bytes().begin(), css.bytes().end()}};
        });
    }
    Status parse(const std::array<Bytes, 2>& sections, OrderTrace* trace = nullptr) {
        return board.on_loop([&]() -> Status {
            const auto read = [](StateSection& section, const Bytes& bytes, std::uint32_t version,
                                 OrderTrace* steps) -> Status {
                ByteReader in{bytes};
                StateReader reader{in, section.id().record, steps};
                TRY(section.load(reader, version));
                if (!in.at_end())
                    return corrupt("{} bytes left", in.remaining());
                return {};
            };
            TRY(read(plugged.core, sections[0], 3, trace));
            return read(board.css->section(), sections[1], 1, nullptr);
        });
    }
    void discard() {
        board.on_loop([&] {
            plugged.core.discard_load();
            board.css->section().discard_load();
        });
    }
    void commit() {
        board.on_loop([&] {
            must(plugged.core.commit_load());
            must(board.css->section().commit_load());
        });
    }
    void take_memory_of(const Machine& other) {
        std::memcpy(board.memory->host(RamOffset{}), other.board.memory->host(RamOffset{}),
                    board.memory->size());
    }
    // Saves here, loads there, and there must be the same.
    void move_to(Machine& there) {
        const auto saved = save();
        there.take_memory_of(*this);
        const Status parsed = there.parse(saved);
        INFO((parsed.ok() ? "" : parsed.error().text));
        REQUIRE(parsed.ok());
        there.commit();
        const auto again = there.save();
        CHECK(again[0] == saved[0]);
        CHECK(again[1] == saved[1]);
    }
    bool live(bool thinint) {
        return guest.negotiate() && guest.does(CCW_CMD_SET_VQ, Guest::queue(0, ring)) &&
               guest.does(CCW_CMD_SET_CONF_IND, Guest::address(kConfigIndicators)) &&
               (thinint ? guest.does(CCW_CMD_SET_IND_ADAPTER, Guest::thinint(kSummary, kArea, 13, 6))
                        : guest.does(CCW_CMD_SET_IND, Guest::address(kIndicators))) &&
               guest.go();
    }
    void use_a_buffer() {
        ring.chain().writable(Gpa{0x8000}, 16).offer();
        board.on_loop([&] { plugged.core.queue_notified(0); });
    }
    std::uint16_t ctrl() { return guest.store().scsw.ctrl; }

    Board board;
    Plugged plugged{board};
    Guest guest{board};
    FakeDriver ring{*board.memory, 16, Gpa{kRing}};
};

const std::vector<Ccw1> kEndless{
    {kCommandSenseId, static_cast<std::uint8_t>(kCcwChainCommand | kCcwSuppressLength), 8, Guest::kData},
    {kCommandTransfer, 0, 0, Guest::kProgram}};

} // namespace

TEST_CASE("a device moves in every state that a channel program can be in", "[ccw][state]") {
    Machine here, there;
    here.guest.open();
    here.guest.enable();
    const auto start = [&](const std::vector<Ccw1>& program, Orb orb = Guest::orb()) {
        here.guest.place(program);
        REQUIRE(here.guest.start(orb) == Outcome::Done);
    };
    Orb suspending = Guest::orb();
    suspending.ctrl0 |= kOrbSuspend;

    SECTION("none") {
        here.hold();
        here.move_to(there);
    }
    SECTION("started and not begun") {
        here.hold();
        start({{kCommandSenseId, 0, 7, Guest::kData}});
        CHECK(here.ctrl() == (kStartFunction | kStartPending));
        here.move_to(there);
        there.go_on();
        there.board.on_loop([] {});
        CHECK(there.guest.test().scsw.dstat == (kChannelEnd | kDeviceEnd));
        CHECK(there.guest.data(3)[1] == std::byte{0x38});
    }
    SECTION("halfway through") {
        start(kEndless);
        here.hold();
        CHECK((here.ctrl() & kSubchannelActive) != 0);
        here.move_to(there);
        // The loop is opened; the program ends where it came to.
        must(there.board.memory->write(Gpa{Guest::kProgram + 8}, to_guest(Ccw1{kCommandNoOp, 0, 0, 0})));
        there.go_on();
        for (int i = 0; i < 1000 && (there.ctrl() & kStatusPending) == 0; ++i)
            there.board.on_loop([] {});
        CHECK(there.guest.test().scsw.cpa == Guest::kProgram + 16);
    }
    SECTION("halfway through, with a program-controlled interruption") {
        auto program = kEndless;
        program[0].flags |= kCcwInterrupt;
        start(program);
        here.hold();
        here.move_to(there);
        CHECK(there.guest.taken_interruption() == kSchidOne);
        CHECK((there.guest.test().scsw.ctrl & kStatusBits) == (kIntermediate | kStatusPending));
    }
    SECTION("suspended") {
        start({{kCommandSenseId, kCcwSuspend, 7, Guest::kData}}, suspending);
        here.hold();
        CHECK((here.ctrl() & kSuspended) != 0);
        here.move_to(there);
        there.go_on();
        there.guest.test();
        there.guest.place(std::vector<Ccw1>{{kCommandSenseId, 0, 7, Guest::kData}});
        CHECK(there.guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Done);
        CHECK(there.guest.test().scsw.dstat == (kChannelEnd | kDeviceEnd));
    }
    SECTION("resumed and not gone on") {
        start({{kCommandSenseId, kCcwSuspend, 7, Guest::kData}}, suspending);
        here.guest.test();
        here.hold();
        CHECK(here.guest.operate(kResumeSubchannel, kSchidOne) == Outcome::Done);
        CHECK((here.ctrl() & kResumePending) != 0);
        here.move_to(there);
        there.guest.place(std::vector<Ccw1>{{kCommandSenseId, 0, 7, Guest::kData}});
        there.go_on();
        there.board.on_loop([] {});
        CHECK(there.guest.test().scsw.dstat == (kChannelEnd | kDeviceEnd));
    }
    SECTION("ended, with sense, its interruption not taken") {
        start({{0xf1, 0, 8, Guest::kData}});
        here.hold();
        here.move_to(there);
        CHECK(there.board.lines.io() == 1);
        CHECK(there.guest.taken_interruption() == kSchidOne);
        CHECK(there.guest.test().scsw.dstat == kUnitCheck);
        there.go_on();
        there.guest.run({{kCommandSense, 0, 32, Guest::kData}});
        CHECK(there.guest.data(1)[0] == std::byte{kSenseCommandReject});
    }
    SECTION("ended, its interruption taken, its status not") {
        start({{kCommandNoOp, 0, 0, 0}});
        REQUIRE(here.guest.taken_interruption() == kSchidOne);
        here.hold();
        here.move_to(there);
        CHECK(there.board.lines.io() == 0);
        CHECK(there.guest.taken_interruption() == std::nullopt);
        CHECK(there.guest.test().outcome == Outcome::Done);
    }
    SECTION("halted, cleared") {
        start(kEndless);
        const auto function = GENERATE(kHaltSubchannel, kClearSubchannel);
        REQUIRE(here.guest.operate(function, kSchidOne) == Outcome::Done);
        here.hold();
        here.move_to(there);
        CHECK((there.guest.test().scsw.ctrl & (kHaltFunction | kClearFunction)) != 0);
    }
    SECTION("with a mask over what pends") {
        here.guest.open(0);
        start({{kCommandNoOp, 0, 0, 0}});
        here.hold();
        here.move_to(there);
        CHECK(there.board.lines.io() == 0);
        there.guest.open();
        CHECK(there.board.lines.io() == 1);
    }
}

TEST_CASE("indicators that nobody has seen arrive", "[ccw][state]") {
    Machine here, there;
    here.guest.open();
    SECTION("classic") {
        REQUIRE(here.live(false));
        here.use_a_buffer();
        here.hold();
        here.move_to(there);
        CHECK(there.board.lines.io() == 1);
        CHECK(there.guest.taken_interruption() == kSchidOne);
        CHECK(there.guest.test().scsw.ctrl == (kAlert | kStatusPending));
    }
    SECTION("of an adapter, once more") {
        REQUIRE(here.live(true));
        here.use_a_buffer();
        here.hold();
        here.move_to(there);
        CHECK(there.board.lines.adapter() == 1);
    }
    SECTION("of an adapter in a subclass that is not open") {
        REQUIRE(here.live(true));
        here.guest.open(0);
        here.use_a_buffer();
        here.hold();
        CHECK(here.board.lines.adapter() == 0);
        here.move_to(there);
        CHECK(there.board.lines.adapter() == 0);
        CHECK(there.guest.read<std::uint32_t>(kRegAdapterPending) == isc_bit(6));
        there.guest.open();
        CHECK(there.board.lines.adapter() == 1);
    }
    SECTION("and the device works there") {
        REQUIRE(here.live(true));
        here.hold();
        here.move_to(there);
        there.go_on();
        there.ring.start_at(here.ring.avail_index());
        there.use_a_buffer();
        CHECK(there.ring.take_used().has_value());
        CHECK(there.board.lines.adapter() == 1);
        CHECK(there.plugged.transport->revision() == 1);
    }
}

TEST_CASE("the receiver takes over the numbers of the subchannels", "[ccw][state]") {
    struct Two {
        explicit Two(std::uint16_t first, std::uint16_t second) : a{board, first}, b{board, second} {}
        Board board;
        Plugged a, b;
    };
    Two here{1, 2}, there{2, 1};
    const auto save = [](Plugged& from) {
        return from.board.on_loop([&] {
            StateWriter writer{"virtio-fake", 3};
            must(from.core.save(writer));
            return Bytes{writer.bytes().begin(), writer.bytes().end()};
        });
    };
    const auto load = [](Plugged& into, const Bytes& bytes) {
        return into.board.on_loop([&] {
            ByteReader in{bytes};
            StateReader reader{in, "virtio-fake"};
            return into.core.load(reader, 3);
        });
    };
    const auto css = [&](Two& machine) {
        return machine.board.on_loop([&]() -> Status {
            const Bytes bytes(34);
            ByteReader in{bytes};
            StateReader reader{in, "css"};
            return machine.board.css->section().load(reader, 1);
        });
    };
    REQUIRE(load(there.a, save(here.b)).ok());
    REQUIRE(load(there.b, save(here.a)).ok());
    REQUIRE(css(there).ok());
    there.board.on_loop([&] {
        must(there.a.core.commit_load());
        must(there.b.core.commit_load());
        must(there.board.css->section().commit_load());
    });
    CHECK(Guest{there.board}.store(kSchidOne).pmcw.devno == 1);
    CHECK(Guest{there.board}.store(kSchidOne | 1).pmcw.devno == 2);

    SECTION("but not twice the same one") {
        Bytes twice = save(here.b);
        twice[kSchidAt + 1] = std::byte{0};
        Two other{2, 1};
        REQUIRE(load(other.a, twice).ok());
        REQUIRE(load(other.b, save(here.a)).ok());
        CHECK(css(other).error().text == "css: two devices on subchannel 0");
    }
    SECTION("nor one that is too high") {
        Bytes high = save(here.b);
        high[kSchidAt + 1] = std::byte{7};
        REQUIRE(load(there.a, high).ok());
        CHECK(css(there).error().text == "css: subchannel 7 of device 0.0.0002, 2 are here");
    }
    SECTION("nor another device") {
        const Status refused = load(there.a, save(here.a));
        CHECK(refused.error().text == "virtio-fake.parent_obj.sch.devno: 2 here, 1 in the stream");
    }
}

TEST_CASE("a big-endian driver makes its byte order part of the state, a little-endian one does not",
          "[ccw][state]") {
    const auto order = GENERATE(DeviceEndian::Little, DeviceEndian::Big);
    Machine here, there;
    constexpr std::array<std::uint8_t, 1> kWidths{8};
    for (Machine* const m : {&here, &there})
        m->plugged.device.traits_.config_fields = kWidths;
    here.plugged.device.config[0] = std::byte{1};
    here.guest.enable();
    REQUIRE(here.guest.does(CCW_CMD_SET_VIRTIO_REV, Guest::revision(0)));
    REQUIRE(here.guest.does(kCommandSetByteOrder, Guest::byte(static_cast<std::uint8_t>(order))));
    REQUIRE(here.guest.does(CCW_CMD_WRITE_STATUS, Guest::byte(ACKNOWLEDGE | DRIVER)));
    REQUIRE(here.guest.does(CCW_CMD_SET_VQ, Guest::legacy_queue(0, kRing, 16)));
    REQUIRE(here.guest.go(0));
    here.hold();
    OrderTrace saved;
    const auto sections = here.save(&saved);
    const bool shown = std::ranges::count(saved.steps(), ": virtio/device_endian") == 1;
    CHECK(shown == (order == DeviceEndian::Big));
    there.plugged.device.config = here.plugged.device.config;
    here.move_to(there);
    CHECK(there.plugged.core.device_endian() == order);
    CHECK(there.plugged.device.loaded_config[0] == std::byte{1}); // as the device itself has it
    there.go_on();
    CHECK(there.plugged.core.running());
}

TEST_CASE("saving and loading follow the documented order", "[ccw][state]") {
    Machine m;
    REQUIRE(m.live(true));
    m.hold();
    OrderTrace saved, loaded;
    const auto sections = m.save(&saved);
    REQUIRE(m.parse(sections, &loaded).ok());
    m.discard();
    const std::vector<std::string> saving{
        ": core.start",         ": transport.save_config", ": core.common",
        ": core.queues",        ": transport.save_queue",  ": transport.save_queue",
        ": device.save_device", ": core.subsections",      ": virtio/64bit_features",
        ": virtio/virtqueues",  ": virtio/ringsize",       ": virtio/started"};
    const std::vector<std::string> loading{
        ": core.start",         ": transport.load_config", ": core.common",
        ": core.queues",        ": transport.load_queue",  ": transport.load_queue",
        ": device.load_device", ": core.subsections",      ": virtio/64bit_features",
        ": virtio/virtqueues",  ": virtio/ringsize",       ": virtio/started",
        ": core.sanitise",      ": device.post_load"};
    CHECK(saved.steps() == saving);
    CHECK(loaded.steps() == loading);
}

TEST_CASE("names and sizes are those of the format", "[ccw][state]") {
    Machine m;
    CHECK(m.plugged.core.id().name == "fe.0.0001/virtio-fake");
    CHECK(m.board.css->section().id().name == "css");
    m.board.on_loop([&] {
        StateWriter writer{"virtio", 1};
        must(m.plugged.transport->save_config(writer));
        // Three indicators of 12 bytes, vector, bit number, subclass, revision.
        CHECK(writer.bytes().size() == kSubchannelBytes + 3 * 12 + 2 + 8 + 1 + 4);
        const auto& fields = writer.description().fields;
        REQUIRE(fields.size() == 8);
        CHECK(fields[0].name == "parent_obj");
        CHECK(fields[0].structure[0].name == "s390_ccw_dev");
        const auto& subchannel = fields[0].structure[0].fields[0].structure[0];
        CHECK(subchannel.name == "s390_subch_dev");
        CHECK(subchannel.fields[2].name == "migrated_schid");
        CHECK(subchannel.subsections[0].name == "s390_subch_dev/orb");
        CHECK(fields[7].name == "revision");
        StateWriter queue{"virtio", 1};
        must(m.plugged.transport->save_queue(queue, 0));
        CHECK(queue.bytes().size() == 2);
    });
}

TEST_CASE("states that nothing can be in are refused by name", "[ccw][state]") {
    Machine m;
    REQUIRE(m.live(true));
    m.hold();
    const auto good = m.save();
    const auto refused = [&](std::size_t at, std::initializer_list<int> bytes, std::size_t section = 0) {
        auto changed = good;
        for (const int byte : bytes)
            changed[section].at(at++) = static_cast<std::byte>(byte);
        const Status status = m.parse(changed);
        m.discard();
        return status.ok() ? std::string{} : status.error().text;
    };
    const std::string sch = "virtio-fake.parent_obj.sch";
    constexpr std::size_t kAfter = kSubchannelBytes;
    CHECK(refused(kCtrlAt, {0x70, 0}) == sch + ": curr_status.scsw.ctrl 0x7000 is no state of a subchannel");
    CHECK(refused(kCtrlAt, {0x40, 0x20 | 0x80}) ==
          sch + ": curr_status.scsw.ctrl 0x40a0 is no state of a subchannel");
    CHECK(refused(kSchidAt, {1, 0}) == sch + ": migrated_schid is 256, below 256 it must be");
    CHECK(refused(7 + 4, {0xff, 0xff}) == sch + ": curr_status.pmcw.flags 0xffff");
    CHECK(refused(7 + 6, {0, 9}) == sch + ": curr_status.pmcw.devno is 0x9, of device 0x1");
    CHECK(refused(109, {0, 0}).starts_with("virtio-fake: control unit 0000/"));
    CHECK(refused(kAfter, {0, 0, 0, 1}) ==
          "virtio-fake: bits 13 and following in indicators of 1 bytes, summary of 1");
    CHECK(refused(kAfter, {0xff, 0xff, 0xff, 0xff}).starts_with("virtio-fake: indicators: -1 bytes at "));
    CHECK(refused(kAfter + 4, {0xff}).starts_with("virtio-fake: indicators: 2 bytes at "));
    CHECK(refused(kAfter + 12 + 3, {4}).starts_with("virtio-fake: indicators2: 4 bytes at "));
    CHECK(refused(kAfter + 24 + 4, {0xff}).starts_with("virtio-fake: summary_indicator: "));
    CHECK(refused(kAfter + 36, {0, 5}) == "virtio-fake: config_vector 5");
    CHECK(refused(kAfter + 38, {0xff}).starts_with("virtio-fake: bits 1837468647967162"));
    CHECK(refused(kAfter + 46, {8}) == "virtio-fake: thinint_isc 8 is above 7");
    CHECK(refused(kAfter + 47, {0, 0, 0, 3}) == "virtio-fake: revision 3 is not between -1 and 2");
    CHECK(refused(6, {0}) == "virtio-fake: a summary indicator without adapter interruptions");
    CHECK(refused(2, {0x80}, 1) == "css: an interruption of subchannel 0, which has no status pending");
    CHECK(refused(2 + 31, {0x01}, 1) ==
          "css: an interruption of subchannel 255, which has no status pending");
    CHECK(refused(0, {0x80, 0x80}, 1).starts_with("css: adapter_pending"));
    REQUIRE(m.parse(good).ok());
    m.discard();

    SECTION("and so is every truncation") {
        for (std::size_t length = 0; length < good[0].size(); length += length < 500 ? 1 : 97) {
            auto cut = good;
            cut[0].resize(length);
            REQUIRE_FALSE(m.parse(cut).ok());
            m.discard();
        }
        for (std::size_t length = 0; length < good[1].size(); ++length) {
            auto cut = good;
            cut[1].resize(length);
            REQUIRE_FALSE(m.parse(cut).ok());
            m.discard();
        }
    }
    SECTION("and whatever a flipped byte makes of it, the machine lives") {
        for (std::size_t at = 0; at < kAfter + 51 + 40; ++at)
            for (const int byte : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
                auto changed = good;
                changed[0][at] = static_cast<std::byte>(byte);
                if (!m.parse(changed).ok()) {
                    m.discard();
                    continue;
                }
                m.commit();
                m.go_on();
                m.use_a_buffer();
                m.guest.test();
                m.hold();
                (void)m.save();
            }
    }
}

} // namespace state_test
