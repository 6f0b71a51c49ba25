// SPDX-License-Identifier: Apache-2.0
//
// The destination's door, its memory, and the question of a source in doubt.
#include "migration/arrivals.h"
#include "migration/destination.h"
#include "migration/query.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace reception_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;

namespace {

const MigrationId kId{std::byte{1}, std::byte{2}};
const Error kWhy = error(ErrorCode::Corrupt, "it was thrown away");

std::unique_ptr<Channel> connect(const Reception& reception) {
    auto channel = std::move(SocketChannel::connect(reception.address(), 10s, nullptr)).value();
    channel->set_timeout(10s);
    return channel;
}

std::unique_ptr<Reception> open(ReceptionOptions options = {}) {
    return std::move(Reception::open(*Address::parse("tcp:127.0.0.1:0"), options)).value();
}

CustodyStep says(Ledger& ledger, const MigrationId& id = kId) {
    auto reception = open();
    reception->route(Message::Query, [&](Connection c) { answer_query(std::move(c), ledger); });
    reception->start();
    return ask(*connect(*reception), id).says;
}

} // namespace

TEST_CASE("the ledger remembers what became of a migration", "[reception]") {
    Ledger ledger;
    REQUIRE(says(ledger) == CustodyStep::Unknown);
    REQUIRE(ledger.enter(kId, nullptr).ok());
    REQUIRE(ledger.enter(kId, nullptr).error().text == "a migration with this id was here before");
    SECTION("it runs") {
        REQUIRE(ledger.claim(kId));
        ledger.taken_over(kId, 7us);
        REQUIRE(says(ledger) == CustodyStep::Running);
    }
    SECTION("it was thrown away, and the source learns why") {
        ledger.discarded(kId, kWhy);
        REQUIRE_FALSE(ledger.claim(kId));
        const auto answer = ledger.ask(kId, 0ms);
        REQUIRE(answer->message == Message::Relinquish);
        REQUIRE(decode_error(answer->body).text == kWhy.text);
        REQUIRE(says(ledger) == CustodyStep::Relinquish);
    }
    SECTION("a question before COMMIT is a fence") {
        auto fence = std::move(Cancel::create()).value();
        const MigrationId other{std::byte{3}};
        REQUIRE(ledger.enter(other, fence.get()).ok());
        auto asked = std::async(std::launch::async, [&] { return ledger.ask(other, 10s); });
        while (!fence->requested())
            std::this_thread::yield();
        REQUIRE(ledger.is_fenced(other));
        REQUIRE_FALSE(ledger.claim(other));
        ledger.discarded(other, kWhy);
        REQUIRE(asked.get()->message == Message::Relinquish);
        REQUIRE_FALSE(ledger.claim(other));
    }
    SECTION("a fence holds, also when the cleaning takes longer than the answer may") {
        REQUIRE(ledger.ask(kId, 0ms)->message == Message::Relinquish);
        REQUIRE_FALSE(ledger.claim(kId));
    }
    SECTION("a guest that is being started is waited for") {
        REQUIRE(ledger.claim(kId));
        REQUIRE_FALSE(ledger.ask(kId, 0ms).has_value());
        auto asked = std::async(std::launch::async, [&] { return ledger.ask(kId, 10s); });
        SECTION("it runs") {
            ledger.taken_over(kId, 7us);
            const auto answer = asked.get();
            REQUIRE(answer->message == Message::Running);
            REQUIRE(decode_running(answer->body)->take_over == 7us);
        }
        SECTION("it does not") {
            ledger.discarded(kId, kWhy);
            REQUIRE(asked.get()->message == Message::Relinquish);
        }
        SECTION("the process ends") {
            ledger.close();
            REQUIRE_FALSE(asked.get().has_value());
        }
    }
    SECTION("what is too long ago is not known, rather than guessed") {
        ledger.discarded(kId, kWhy);
        for (std::size_t i = 0; i < Ledger::kRemembered; ++i) {
            const MigrationId other{std::byte{9}, static_cast<std::byte>(i)};
            REQUIRE(ledger.enter(other, nullptr).ok());
            ledger.discarded(other, kWhy);
        }
        REQUIRE(says(ledger) == CustodyStep::Unknown);
    }
}

TEST_CASE("connections that say nothing hold up nobody", "[reception]") {
    Ledger ledger;
    ReceptionOptions options;
    options.waiting = 4;
    options.first_frame = 10s;
    auto reception = open(options);
    reception->route(Message::Query, [&](Connection c) { answer_query(std::move(c), ledger); });
    reception->start();
    std::vector<std::unique_ptr<Channel>> silent;
    for (std::size_t i = 0; i < 3; ++i)
        silent.push_back(connect(*reception));
    REQUIRE(ask(*connect(*reception), kId).says == CustodyStep::Unknown);
    // More of them than may wait: the oldest go, long before their time is over.
    for (std::size_t i = 0; i < 3; ++i)
        silent.push_back(connect(*reception));
    std::byte byte{};
    REQUIRE(silent[0]->read_some(std::span{&byte, 1}).value() == 0);
    REQUIRE(ask(*connect(*reception), kId).says == CustodyStep::Unknown);
}

TEST_CASE("a first frame has a deadline, however it trickles in", "[reception]") {
    ReceptionOptions options;
    options.first_frame = 50ms;
    auto reception = open(options);
    reception->start();
    auto slow = connect(*reception);
    const FrameHeader header{Message::Query, 1, 16, 0, 0};
    const auto bytes = encode(header);
    const iovec some{const_cast<std::byte*>(bytes.data()), 20};
    REQUIRE(slow->write(std::span{&some, 1}).ok());
    std::byte byte{};
    REQUIRE(slow->read_some(std::span{&byte, 1}).value() == 0);
}

TEST_CASE("what cannot come first is refused with a reason", "[reception]") {
    auto reception = open();
    reception->start();
    auto channel = connect(*reception);
    FrameLink link{*channel};
    REQUIRE(link.send(Message::RoundEnd, encode(Round{1, 1}), {}).ok());
    const Frame answer = std::move(link.receive()).value();
    REQUIRE(answer.type == Message::Error);
    REQUIRE(decode_error(answer.body).text == "ROUND_END cannot be the first message");
}

TEST_CASE("a stranger's first message is not waited for beyond the length of a greeting", "[reception]") {
    ReceptionOptions options;
    options.first_frame = 1h; // its length alone is the reason
    auto reception = open(options);
    reception->start();
    auto channel = connect(*reception);
    const auto bytes = encode(FrameHeader{Message::State, 1, 60 << 20, 0, 0});
    const iovec all{const_cast<std::byte*>(bytes.data()), bytes.size()};
    REQUIRE(channel->write(std::span{&all, 1}).ok());
    std::byte byte{};
    const auto read = channel->read_some(std::span{&byte, 1});
    REQUIRE(read.ok());
    CHECK(*read == 0); // closed although no body has come
}

TEST_CASE("a connection that was handed over is the only one", "[reception]") {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0); // as it is inherited
    const Fd peer = Fd::adopt(fds[0]);
    std::promise<void> closed;
    auto reception = std::move(Reception::open(*Address::parse(fmt::format("fd:{}", fds[1])))).value();
    reception->start([&](const Error& why) {
        REQUIRE(why.code == ErrorCode::Disconnected);
        closed.set_value();
    });
    ::shutdown(peer.get(), SHUT_RDWR);
    closed.get_future().get();
}

TEST_CASE("a guest arrives through the door, and the next one is told that it is taken", "[reception]") {
    constexpr std::uint64_t kRam = std::uint64_t{1} << 20;
    World world;
    TestPort source{world, kRam};
    TestPort destination{world, kRam};
    source.boot(RunState::Running);
    Ledger ledger;
    Arrivals arrivals;
    auto reception = open();
    const auto busy = [](Connection c) { refuse(std::move(c), error(ErrorCode::NoDevice, "busy")); };
    reception->route(Message::Hello, [&](Connection c) {
        if (!arrivals.offer(c, 10ms))
            busy(std::move(c));
    });
    reception->route(Message::Query, [&](Connection c) { answer_query(std::move(c), ledger); });
    reception->start();
    Progress there;
    auto receiving = std::async(std::launch::async, [&] {
        DestinationOptions options;
        options.ledger = &ledger;
        return receive(destination, std::move(arrivals.wait()).value(), options, there, nullptr);
    });
    const auto migrate_there = [&] {
        Progress progress;
        const auto channel = connect(*reception);
        return migrate(source, *channel, {}, progress, nullptr);
    };
    // The receiver has to wait for it first.
    while (there.snapshot().status == MigrationStatus::None) {
        const auto outcome = migrate_there();
        if (outcome.ok())
            break;
        REQUIRE(outcome.error().text == "destination: busy");
    }
    REQUIRE(receiving.get().ok());
    REQUIRE(same_ram(source, destination));
    TestPort other{world, kRam};
    Progress progress;
    const auto channel = connect(*reception);
    REQUIRE(migrate(other, *channel, {}, progress, nullptr).error().text == "destination: busy");
}

} // namespace reception_test
