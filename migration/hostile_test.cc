// SPDX-License-Identifier: Apache-2.0
//
// A peer that speaks the protocol and means harm, or stops in the middle.
#include "migration/destination.h"
#include "migration/protocol/session.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"
#include "migration/wire/save_load.h"

#include <catch2/catch.hpp>

#include <future>
#include <thread>

namespace hostile_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kRam = 16 * kPageSize;

// A destination that runs, and a source that the test plays.
struct HostileSource {
    HostileSource() : session(*link.source) {
        link.source->set_timeout(5s);
        receiving = std::async(std::launch::async, [this] {
            DestinationOptions options;
            options.timeout = 5s;
            return receive(destination, *link.destination, options, progress, nullptr);
        });
    }
    ~HostileSource() { link.source->close(); }

    void greet() {
        Hello hello{kProtocolVersion, 0, id, Purpose::Move, destination.description};
        REQUIRE(session.send(Message::Hello, encode(hello)).ok());
        REQUIRE(session.expect(Message::HelloReply).ok());
    }
    void send(Message type, const Bytes& body, std::span<const std::byte> data = {}) {
        const iovec part{const_cast<std::byte*>(data.data()), data.size()};
        (void)session.send(type, body, data.empty() ? std::span<const iovec>{} : std::span{&part, 1});
    }
    void send_ram() {
        const PageRun all{RamOffset{0}, kRam / kPageSize};
        send(Message::RamZero, encode_zero({&all, 1}));
        send(Message::RoundEnd, encode(Round{1, kRam / kPageSize}));
        REQUIRE(session.expect(Message::RoundAck).ok());
        send(Message::FinalRound, encode(Round{2, 0}));
        send(Message::RoundEnd, encode(Round{2, 0}));
    }
    Bytes state(RunState run_state = RunState::Running) {
        TestSection<TimerState> timer;
        TestSection<DeviceState> device{sample_device(), "0000:00:01.0/"};
        StateSection* const sections[] = {&timer, &device};
        OrderTrace trace;
        return std::move(wire::save_state(sections, run_state, trace)).value();
    }
    void send_state(std::span<const std::byte> stream) {
        send(Message::State, encode(StateBody{{}, stream}));
    }

    // The error that the destination ends with; the machine must be empty again.
    Error refusal() {
        link.source->finish_writing(); // nothing more comes
        const auto outcome = receiving.get();
        REQUIRE_FALSE(outcome.ok());
        REQUIRE_FALSE(destination.runs());
        REQUIRE_FALSE(destination.owns_disk());
        REQUIRE_FALSE(destination.called("take_over"));
        REQUIRE(ram_is_zero(destination));
        return outcome.error();
    }

    World world;
    TestPort destination{world, kRam};
    MigrationId id{std::byte{1}};
    Progress progress;
    Link link = connected();
    SourceSession session;
    std::future<Result<Report>> receiving;
};

} // namespace

TEST_CASE("runs that are not pages of RAM write nothing (CVE-2014-7840)", "[migration][hostile]") {
    struct Row {
        std::uint64_t offset;
        std::uint32_t pages;
    };
    const auto row = GENERATE(values<Row>({{kRam, 1},
                                           {kRam - kPageSize, 2},
                                           {1, 1},
                                           {kPageSize + 8, 1},
                                           {~std::uint64_t{0} << 12, 2},
                                           {std::uint64_t{1} << 63, 1},
                                           {0, 0},
                                           {0, 17}}));
    const bool zero = GENERATE(true, false);
    CAPTURE(row.offset, row.pages, zero);
    HostileSource source;
    source.greet();
    const PageRun run{RamOffset{row.offset}, row.pages};
    std::vector<std::byte> data(row.pages * kPageSize, std::byte{0xff});
    const std::vector<std::uint32_t> crcs(row.pages);
    if (zero)
        source.send(Message::RamZero, encode_zero({&run, 1}));
    else
        source.send(Message::Ram, encode_ram({&run, 1}, crcs), data);
    const Error refusal = source.refusal();
    REQUIRE(refusal.code == ErrorCode::Protocol);
    // And the source is told.
    REQUIRE(source.session.check_peer().error().text == "destination: " + refusal.text);
}

TEST_CASE("a round must be as long as it says, and the first must cover RAM", "[migration][hostile]") {
    HostileSource source;
    source.greet();
    const PageRun most{RamOffset{0}, kRam / kPageSize - 1};
    source.send(Message::RamZero, encode_zero({&most, 1}));
    SECTION("announced as whole") {
        source.send(Message::RoundEnd, encode(Round{1, kRam / kPageSize}));
        REQUIRE(source.refusal().text == "round 1 of 16 pages was sent, round 1 of 15 pages arrived");
    }
    SECTION("announced as it is") {
        source.send(Message::RoundEnd, encode(Round{1, kRam / kPageSize - 1}));
        REQUIRE(source.refusal().text == "the first round had 15 pages, RAM has 16");
    }
    SECTION("no first round at all") {
        source.send(Message::FinalRound, encode(Round{1, 0}));
        REQUIRE(source.refusal().text == "the last round came before the first");
    }
}

TEST_CASE("device state cut anywhere is refused", "[migration][hostile]") {
    // Every byte is tried without the protocol in wire_test.cc.
    const std::size_t percent = GENERATE(0U, 1U, 20U, 50U, 99U);
    HostileSource source;
    source.greet();
    source.send_ram();
    const Bytes state = source.state();
    source.send_state(std::span{state}.first(state.size() * percent / 100));
    REQUIRE(source.refusal().text.starts_with("load the device state: "));
    REQUIRE(source.destination.device.commits == 0);
}

TEST_CASE("COMMIT must fit what came before", "[migration][hostile]") {
    HostileSource source;
    source.greet();
    source.send_ram();
    source.send_state(source.state());
    REQUIRE(source.session.expect(Message::Ready).ok());
    Commit commit{source.id, RunState::Running};
    if (GENERATE(true, false))
        commit.state = RunState::Paused;
    else
        commit.id[0] = std::byte{9};
    source.send(Message::Commit, encode(commit));
    REQUIRE(source.refusal().text == "COMMIT is for another guest than the one that came");
    const auto answer = source.session.expect(Message::Running);
    REQUIRE(answer.error().text == "destination: COMMIT is for another guest than the one that came");
    REQUIRE(source.session.state() == SourceState::Returned);
}

TEST_CASE("a body with a byte too many is refused", "[migration][hostile]") {
    HostileSource source;
    source.greet();
    Bytes body = encode(Round{1, 0});
    body.push_back(std::byte{0});
    source.send(Message::RoundEnd, body);
    REQUIRE(source.refusal().text == "1 bytes are left over");
}

TEST_CASE("a silent source is given up", "[migration][hostile]") {
    World world;
    TestPort destination{world, kRam};
    const Link link = connected();
    Progress progress;
    DestinationOptions options;
    options.timeout = 20ms;
    std::jthread leaves{[&] { std::this_thread::sleep_for(40ms), link.source->finish_writing(); }};
    const auto outcome = receive(destination, *link.destination, options, progress, nullptr);
    REQUIRE(outcome.error().text == "the sender made no progress for 20 ms");
    REQUIRE(progress.snapshot().status == MigrationStatus::Failed);
    REQUIRE(progress.snapshot().error->code == ErrorCode::Disconnected);
}

TEST_CASE("a destination that acknowledges another round is not trusted", "[migration][hostile]") {
    World world;
    TestPort source{world, kRam};
    source.boot(RunState::Running);
    const Link link = connected();
    auto sending = std::async(std::launch::async, [&] {
        Progress progress;
        return migrate(source, *link.source, {}, progress, nullptr);
    });
    DestinationSession session{*link.destination};
    REQUIRE(session.expect(Message::Hello).ok());
    REQUIRE(session
                .send(Message::HelloReply,
                      encode(Hello{kProtocolVersion, 0, {}, Purpose::Move, source.description}))
                .ok());
    for (;;) {
        const Frame frame = std::move(session.receive()).value();
        std::vector<std::byte> data(frame.data_length);
        const iovec part{data.data(), data.size()};
        REQUIRE(session.receive_data({&part, 1}).ok());
        if (frame.type == Message::RoundEnd)
            break;
    }
    REQUIRE(session.send(Message::RoundAck, encode(Round{1, 1})).ok());
    link.destination->finish_writing();
    const auto outcome = sending.get();
    REQUIRE(outcome.error().text == "round 1 of 16 pages was acknowledged as 1 of 1");
    REQUIRE(source.runs());
}

TEST_CASE("a destination with other facts than it compared is not trusted", "[migration][hostile]") {
    World world;
    TestPort source{world, kRam};
    source.boot(RunState::Paused);
    const Link link = connected();
    auto sending = std::async(std::launch::async, [&] {
        Progress progress;
        return migrate(source, *link.source, {}, progress, nullptr);
    });
    DestinationSession session{*link.destination};
    REQUIRE(session.expect(Message::Hello).ok());
    Hello reply{kProtocolVersion, 0, {}, Purpose::Move, source.description};
    reply.machine.memory *= 2;
    REQUIRE(session.send(Message::HelloReply, encode(reply)).ok());
    const auto outcome = sending.get();
    REQUIRE(outcome.error().code == ErrorCode::Incompatible);
    link.destination->close();
}

} // namespace hostile_test
