// SPDX-License-Identifier: Apache-2.0
//
// A migration over several connections: whole ones between two machines, and a hostile source that breaks
// the rules of rounds.
#include "migration/destination.h"
#include "migration/protocol/crc32c.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>
#include <thread>

namespace links_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;
using Action = TestChannel::Action;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{64} << 20;

// As a reception does it.
Status attach_to(Attachments& attachments, std::unique_ptr<Channel> channel) {
    FrameLink link{*channel};
    Frame first = TRY(link.receive());
    Connection connection{std::move(channel), std::move(link), std::move(first)};
    return attachments.attach(connection);
}

// Two machines; each further connection is a pair of sockets whose far end attaches as a receiver's would.
struct Machines {
    explicit Machines(std::uint32_t connections) : source(world, kRam), destination(world, kRam) {
        source.boot(RunState::Running);
        wanted.connections = connections;
        parameters.set(wanted);
        options.parameters = &parameters;
        options.timeout = 10s;
        options.connect = [this](const Cancel*) -> Result<std::unique_ptr<Channel>> {
            Link link = connected();
            TestChannel& near = *link.source;
            if (prepare)
                prepare(near, links_made++);
            attaching.emplace_back(
                std::async(std::launch::async, [this, far = std::move(link.destination)]() mutable -> Status {
                    return attach_to(attachments, std::move(far));
                }));
            return std::unique_ptr<Channel>{std::move(link.source)};
        };
    }

    void migrate_over(const Link& link) {
        auto receiving = std::async(std::launch::async, [&] {
            DestinationOptions choices;
            choices.timeout = 10s;
            choices.attachments = &attachments;
            return receive(destination, *link.destination, choices, destination_progress, nullptr);
        });
        sent = migrate(source, *link.source, options, source_progress, cancel.get());
        received = receiving.get();
        link.source->close();
        for (auto& one : attaching)
            (void)one.get(); // the migration may have ended before
    }

    World world;
    TestPort source;
    TestPort destination;
    Progress source_progress;
    Progress destination_progress;
    Attachments attachments;
    Parameters wanted;
    LiveParameters parameters;
    SourceOptions options;
    std::unique_ptr<Cancel> cancel = std::move(Cancel::create()).value();
    std::function<void(TestChannel&, std::size_t index)> prepare;
    std::atomic<std::size_t> links_made{0};
    std::vector<std::future<Status>> attaching;
    Result<Report> sent = Report{};
    Result<Report> received = Report{};
};

Action count_pages(std::atomic<std::uint64_t>& pages, Message type, const Bytes& frame) {
    if (type == Message::Ram)
        pages += load_le<std::uint32_t>(std::span{frame}.subspan(16)) / kPageSize;
    return Action::Pass;
}

} // namespace

TEST_CASE("a running guest moves over several connections, and each carries pages", "[migration][links]") {
    const std::uint32_t connections = GENERATE(2u, 3u, 16u);
    Machines machines{connections};
    // Data everywhere, so that no connection can be out of work.
    for (std::uint64_t page = 0; page < machines.source.memory().page_count(); ++page)
        machines.source.write_page(page, static_cast<std::uint32_t>(page));
    std::array<std::atomic<std::uint64_t>, 16> pages{};
    machines.prepare = [&](TestChannel& channel, std::size_t index) {
        channel.on_frame = [&pages, index](Message type, Bytes& frame) {
            return count_pages(pages[index], type, frame);
        };
    };
    const Link link = connected();
    machines.migrate_over(link);
    INFO((machines.sent.ok() ? "" : machines.sent.error().text));
    INFO((machines.received.ok() ? "" : machines.received.error().text));
    REQUIRE(machines.sent.ok());
    REQUIRE(machines.received.ok());
    REQUIRE(same_ram(machines.source, machines.destination));
    REQUIRE(machines.destination.runs());
    REQUIRE_FALSE(machines.world.ran_twice);
    REQUIRE(machines.links_made == connections - 1);
    REQUIRE(machines.sent->bytes == machines.received->bytes);
    REQUIRE(machines.sent->data_pages == machines.received->data_pages);
    REQUIRE(machines.sent->rounds.at(0).bytes > machines.sent->rounds.at(0).pages * kPageSize);
    REQUIRE(machines.source_progress.snapshot().normal == machines.sent->data_pages);
    if (connections == 2)
        REQUIRE(pages[0] > 0);
}

TEST_CASE("a receiver that takes one connection gets one", "[migration][links]") {
    Machines machines{4};
    const Link link = connected();
    auto receiving = std::async(std::launch::async, [&] {
        return receive(machines.destination, *link.destination, {10s}, machines.destination_progress,
                       nullptr);
    });
    REQUIRE(migrate(machines.source, *link.source, machines.options, machines.source_progress, nullptr).ok());
    REQUIRE(receiving.get().ok());
    REQUIRE(machines.links_made == 0);
}

TEST_CASE("whichever connection breaks, the guest goes on and both sides know why", "[migration][links]") {
    const std::size_t which = GENERATE(0u, 1u, 2u); // 0 is the first one
    const std::size_t frame = GENERATE(0u, 1u, 5u);
    CAPTURE(which, frame);
    Machines machines{3};
    const auto is_ram = [](Message type) {
        return type == Message::Ram || type == Message::RamZero || type == Message::RoundEnd;
    };
    std::atomic<bool> broken{false};
    const auto breaks = [&](TestChannel& channel) {
        auto left = std::make_shared<std::size_t>(frame);
        channel.on_frame = [&, left](Message type, Bytes&) {
            if (!is_ram(type) || (*left)-- != 0)
                return Action::Pass;
            broken = true;
            return Action::Close;
        };
    };
    // The other connections leave the work to it until then: who gets how much is otherwise chance.
    const auto waits = [&](TestChannel& channel) {
        channel.on_frame = [&](Message type, Bytes&) {
            for (int i = 0; is_ram(type) && !broken && i < 1000; ++i)
                std::this_thread::sleep_for(1ms);
            return Action::Pass;
        };
    };
    const Link link = connected();
    (which == 0 ? breaks(*link.source) : waits(*link.source));
    machines.prepare = [&](TestChannel& channel, std::size_t index) {
        (index + 1 == which ? breaks(channel) : waits(channel));
    };
    for (std::uint64_t page = 0; page < machines.source.memory().page_count(); page += 2)
        machines.source.write_page(page, static_cast<std::uint32_t>(page));
    machines.migrate_over(link);
    REQUIRE_FALSE(machines.sent.ok());
    REQUIRE_FALSE(machines.received.ok());
    INFO(machines.sent.error().text);
    INFO(machines.received.error().text);
    REQUIRE(machines.sent.error().code == ErrorCode::Disconnected);
    REQUIRE(machines.received.error().code == ErrorCode::Disconnected);
    REQUIRE(machines.source.runs());
    REQUIRE(machines.source.owns_disk());
    REQUIRE_FALSE(machines.destination.runs());
    REQUIRE(ram_is_zero(machines.destination));
}

TEST_CASE("a connection that is refused ends the migration with the refusal's words", "[migration][links]") {
    Machines machines{2};
    std::future<void> refusing;
    machines.options.connect = [&](const Cancel*) -> Result<std::unique_ptr<Channel>> {
        Link link = connected();
        refusing = std::async(std::launch::async, [far = std::move(link.destination)]() mutable {
            FrameLink frames{*far};
            Frame first = std::move(frames.receive()).value();
            refuse(Connection{std::move(far), std::move(frames), std::move(first)},
                   Error{ErrorCode::Protocol, "not wanted"});
        });
        return std::unique_ptr<Channel>{std::move(link.source)};
    };
    const Link link = connected();
    machines.migrate_over(link);
    REQUIRE_FALSE(machines.sent.ok());
    REQUIRE_FALSE(machines.received.ok());
    REQUIRE_THAT(machines.sent.error().text,
                 Catch::Contains("connection 2") && Catch::Contains("not wanted"));
    REQUIRE(machines.source.runs());
    REQUIRE(ram_is_zero(machines.destination));
}

TEST_CASE("a cancel ends every connection, also one that does not move", "[migration][links]") {
    Machines machines{3};
    machines.prepare = [&](TestChannel& channel, std::size_t index) {
        channel.on_frame = [&, index](Message type, Bytes&) {
            if (type == Message::Ram && index == 1)
                machines.cancel->request();
            // The frame is lost: the other side waits for it, and would for long.
            return type == Message::Ram ? Action::Swallow : Action::Pass;
        };
    };
    for (std::uint64_t page = 0; page < machines.source.memory().page_count(); ++page)
        machines.source.write_page(page, static_cast<std::uint32_t>(page));
    const Link link = connected();
    machines.migrate_over(link);
    REQUIRE_FALSE(machines.sent.ok());
    REQUIRE(machines.sent.error().code == ErrorCode::Cancelled);
    REQUIRE_FALSE(machines.received.ok());
    REQUIRE(machines.source.runs());
    REQUIRE(ram_is_zero(machines.destination));
}

namespace {

// A destination that runs, and a source that the test plays on two connections.
struct HostileSource {
    static constexpr std::uint64_t kPages = 1024;

    HostileSource() : destination(world, kPages * kPageSize), session(*link.source), second(*side.source) {
        receiving = std::async(std::launch::async, [this] {
            DestinationOptions choices;
            choices.timeout = 5s;
            choices.attachments = &attachments;
            return receive(destination, *link.destination, choices, progress, nullptr);
        });
        Hello hello{kProtocolVersion, 0, id, Purpose::Move, destination.description, 2};
        REQUIRE(session.send(Message::Hello, encode(hello)).ok());
        const auto reply = decode_hello(std::move(session.expect(Message::HelloReply)).value());
        REQUIRE(reply->connections == 2);
    }
    ~HostileSource() { link.source->close(); }

    Status attach(const MigrationId& to, std::uint32_t index) {
        Link pair = connected();
        LinkSourceSession asking{*pair.source};
        REQUIRE(asking.send(Message::Attach, encode(Attach{to, index})).ok());
        return attach_to(attachments, std::move(pair.destination));
    }
    void attach_second() {
        REQUIRE(second.send(Message::Attach, encode(Attach{id, 1})).ok());
        REQUIRE(attach_to(attachments, std::move(side.destination)).ok());
    }
    template <class S>
    void send_page(S& over, std::uint64_t page, std::byte value) {
        const std::vector<std::byte> bytes(kPageSize, value);
        const PageRun run{RamOffset{page * kPageSize}, 1};
        const std::uint32_t crc = crc32c(bytes);
        const iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
        (void)over.send(Message::Ram, encode_ram({&run, 1}, {&crc, 1}), {&data, 1});
    }
    template <class S>
    void send_zero(S& over, std::uint64_t first, std::uint32_t count) {
        const PageRun run{RamOffset{first * kPageSize}, count};
        (void)over.send(Message::RamZero, encode_zero({&run, 1}));
    }
    template <class S>
    void end(S& over, std::uint32_t number, std::uint64_t pages) {
        (void)over.send(Message::RoundEnd, encode(Round{number, pages}));
    }
    std::byte at(std::uint64_t page) { return *destination.memory().host(RamOffset{page * kPageSize}); }
    Error refusal() {
        const auto outcome = receiving.get();
        REQUIRE_FALSE(outcome.ok());
        REQUIRE(ram_is_zero(destination));
        return outcome.error();
    }

    World world;
    TestPort destination;
    MigrationId id{std::byte{1}};
    Progress progress;
    Attachments attachments;
    Link link = connected();
    Link side = connected();
    SourceSession session;
    LinkSourceSession second;
    std::future<Result<Report>> receiving;
};

} // namespace

TEST_CASE("a copy of the next round waits until this round is in place", "[migration][links][hostile]") {
    HostileSource source;
    source.attach_second();
    // The second connection is through with the first round, and goes on at once with a newer copy of a page
    // whose older one is still to come on the first.
    source.send_zero(source.second, 512, 512);
    source.end(source.second, 1, 512);
    source.send_page(source.second, 7, std::byte{2});
    source.end(source.second, 2, 1);
    std::this_thread::sleep_for(50ms); // it would have read it by now
    source.send_page(source.session, 7, std::byte{1});
    source.send_zero(source.session, 0, 7);
    source.send_zero(source.session, 8, 504);
    source.end(source.session, 1, 1024);
    REQUIRE(source.session.expect(Message::RoundAck).ok());
    source.end(source.session, 2, 1);
    const auto acknowledged = source.session.expect(Message::RoundAck);
    INFO((acknowledged.ok() ? "" : acknowledged.error().text));
    REQUIRE(acknowledged.ok());
    REQUIRE(source.at(7) == std::byte{2});
    source.link.source->close();
    (void)source.refusal();
}

TEST_CASE("a page comes once in a round, on whichever connection", "[migration][links][hostile]") {
    HostileSource source;
    source.attach_second();
    const bool zero = GENERATE(true, false);
    if (zero)
        source.send_zero(source.second, 0, 8);
    else
        source.send_page(source.second, 7, std::byte{2});
    source.send_page(source.session, 7, std::byte{1});
    const Error refusal = source.refusal();
    REQUIRE(refusal.code == ErrorCode::Protocol);
    REQUIRE(refusal.text.find("comes a second time in one round") != std::string::npos);
    // Whichever connection it was: the source hears it on the first.
    REQUIRE(source.session.receive().error().text == "destination: " + refusal.text);
}

TEST_CASE("every connection says the truth about its part of a round", "[migration][links][hostile]") {
    HostileSource source;
    source.attach_second();
    source.send_zero(source.second, 0, 8);
    const auto [number, pages] = GENERATE(table<std::uint32_t, std::uint64_t>({{1, 7}, {2, 8}, {0, 8}}));
    source.end(source.second, number, pages);
    const Error refusal = source.refusal();
    REQUIRE(refusal.code == ErrorCode::Protocol);
    REQUIRE(refusal.text ==
            fmt::format("connection 2: round {} of {} pages was sent, round 1 of 8 pages arrived", number,
                        pages));
}

TEST_CASE("the last round is the last one on every connection", "[migration][links][hostile]") {
    HostileSource source;
    source.attach_second();
    const bool second = GENERATE(true, false);
    if (second) {
        (void)source.second.send(Message::FinalRound, encode(Round{1, 0}));
        source.end(source.second, 1, 0);
        source.send_zero(source.session, 0, 1024);
        source.end(source.session, 1, 1024);
        REQUIRE(source.refusal().text == "connection 2 is in its last round, the first one is not");
    } else {
        source.end(source.second, 1, 0);
        source.send_zero(source.session, 0, 1024);
        source.end(source.session, 1, 1024);
        REQUIRE(source.session.expect(Message::RoundAck).ok());
        (void)source.session.send(Message::FinalRound, encode(Round{2, 0}));
        source.end(source.second, 2, 0);
        source.end(source.session, 2, 0);
        REQUIRE(source.refusal().text == "connection 2 is not in its last round, the first one is");
    }
}

TEST_CASE("nothing but RAM comes on a further connection", "[migration][links][hostile]") {
    HostileSource source;
    source.attach_second();
    FrameLink raw{*source.side.source};
    // With the sequence number that is due.
    REQUIRE(source.second.send(Message::RoundEnd, encode(Round{1, 0})).ok());
    source.send_zero(source.session, 0, 1024);
    source.end(source.session, 1, 1024);
    REQUIRE(source.session.expect(Message::RoundAck).ok());
    const Message type = GENERATE(Message::Hello, Message::State, Message::Commit, Message::Attach);
    REQUIRE(raw.send(type, {}, {}).ok());
    REQUIRE(source.refusal().code == ErrorCode::Protocol);
}

TEST_CASE("who may attach", "[migration][links][hostile]") {
    HostileSource source;
    REQUIRE(source.attach({std::byte{2}}, 1).error().text ==
            "a connection for a migration that is not under way here");
    REQUIRE(source.attach(source.id, 0).error().code == ErrorCode::Protocol);
    REQUIRE(source.attach(source.id, 2).error().text == "connection 3 of 2");
    source.attach_second();
    REQUIRE(source.attach(source.id, 1).error().text == "connection 2 is there already");
    source.link.source->close();
    (void)source.refusal();
    REQUIRE(source.attach(source.id, 1).error().text ==
            "a connection for a migration that is not under way here");
}

} // namespace links_test
