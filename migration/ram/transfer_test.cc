// SPDX-License-Identifier: Apache-2.0
//
// What an operator may ask of the transfer: compression, a cap on the bandwidth, verification.
#include "migration/destination.h"
#include "migration/protocol/crc32c.h"
#include "migration/ram/ram_digest.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>
#include <random>

namespace transfer_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;
using Action = TestChannel::Action;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{8} << 20;

struct Machines {
    Machines() : source(world, kRam), destination(world, kRam) {
        source.boot(RunState::Paused); // nothing but the test writes
    }
    void migrate_with(const Parameters& wanted, const PolicyOptions& policy = {}) {
        LiveParameters parameters{wanted};
        SourceOptions options;
        options.parameters = &parameters;
        options.policy = policy;
        auto receiving = std::async(std::launch::async, [&] {
            return receive(destination, *link.destination, {}, destination_progress, nullptr);
        });
        sent = migrate(source, *link.source, options, source_progress, nullptr);
        received = receiving.get();
    }
    void fill(std::uint64_t page, std::byte value) {
        std::memset(source.memory().host(RamOffset{page * kPageSize}), static_cast<int>(value), kPageSize);
    }
    void randomize(std::uint64_t page) {
        auto* const at = reinterpret_cast<std::uint32_t*>(source.memory().host(RamOffset{page * kPageSize}));
        std::generate_n(at, kPageSize / 4, [&] { return static_cast<std::uint32_t>(random()); });
    }

    World world;
    TestPort source;
    TestPort destination;
    Progress source_progress;
    Progress destination_progress;
    Link link = connected();
    std::mt19937 random{7};
    Result<Report> sent = Report{};
    Result<Report> received = Report{};
};

Parameters with(Compression compression) {
    Parameters wanted;
    wanted.compression = compression;
    return wanted;
}

} // namespace

TEST_CASE("compressed pages arrive as they were, incompressible ones go as they are",
          "[migration][transfer]") {
    const auto compression = GENERATE(Compression::Zstd, Compression::Lz4);
    Machines machines;
    for (std::uint64_t page = 0; page < 1024; ++page)
        machines.fill(page, std::byte{static_cast<std::uint8_t>(page % 255 + 1)});
    for (std::uint64_t page = 1024; page < 1536; ++page)
        machines.randomize(page);
    std::size_t packed = 0;
    std::size_t plain = 0;
    machines.link.source->on_frame = [&](Message type, Bytes&) {
        packed += type == Message::RamPacked ? 1 : 0;
        plain += type == Message::Ram ? 1 : 0;
        return Action::Pass;
    };
    machines.migrate_with(with(compression));
    INFO((machines.sent.ok() ? "" : machines.sent.error().text));
    REQUIRE(machines.sent.ok());
    REQUIRE(machines.received.ok());
    REQUIRE(same_ram(machines.source, machines.destination));
    REQUIRE(packed >= 4);
    REQUIRE(plain >= 2);
    REQUIRE(machines.sent->bytes < 600 * kPageSize);
    REQUIRE(machines.sent->bytes == machines.received->bytes);
    REQUIRE(machines.received->data_pages >= 1536);
}

TEST_CASE("a block gives as many bytes as are due, or is refused", "[codec][hostile]") {
    const auto codec = std::move(Codec::create(GENERATE(Compression::Zstd, Compression::Lz4))).value();
    const std::vector<std::byte> pages(16 * kPageSize, std::byte{7});
    const auto block = std::move(codec->compress(pages, pages.size())).value();
    const std::vector<std::byte> whole{block.begin(), block.end()};
    REQUIRE(!whole.empty());
    std::vector<std::byte> out(pages.size());
    REQUIRE(codec->decompress(whole, out).ok());
    REQUIRE(out == pages);
    std::vector<std::byte> less(pages.size() - kPageSize);
    std::vector<std::byte> more(pages.size() + kPageSize);
    REQUIRE(codec->decompress(whole, less).error().code == ErrorCode::Corrupt);
    REQUIRE(codec->decompress(whole, more).error().code == ErrorCode::Corrupt);
    for (std::size_t length = 0; length < whole.size(); ++length)
        REQUIRE_FALSE(codec->decompress(std::span{whole}.first(length), out).ok());
    std::minstd_rand random{3};
    for (int i = 0; i < 2000; ++i) { // whatever is in it: an error or the right number of bytes
        auto damaged = whole;
        damaged[random() % damaged.size()] ^= std::byte{static_cast<std::uint8_t>(1 << random() % 8)};
        (void)codec->decompress(damaged, out);
    }
    std::mt19937 noise{1};
    std::vector<std::byte> incompressible(kPageSize);
    std::ranges::generate(incompressible, [&] { return std::byte{static_cast<std::uint8_t>(noise())}; });
    REQUIRE(std::move(codec->compress(incompressible, incompressible.size() / 2)).value().empty());
}

TEST_CASE("a compressed frame that was not agreed, or is none, is refused",
          "[migration][transfer][hostile]") {
    World world;
    TestPort destination{world, kRam};
    const Link link = connected();
    SourceSession session{*link.source};
    Progress progress;
    auto receiving = std::async(
        std::launch::async, [&] { return receive(destination, *link.destination, {}, progress, nullptr); });
    const bool agreed = GENERATE(true, false);
    const Hello hello{kProtocolVersion, agreed ? kCanLz4 : 0, {}, Purpose::Move, destination.description};
    REQUIRE(session.send(Message::Hello, encode(hello)).ok());
    REQUIRE(session.expect(Message::HelloReply).ok());
    const PageRun run{RamOffset{0}, 2};
    const std::array<std::uint32_t, 2> crcs{};
    std::vector<std::byte> block(agreed ? GENERATE(100u, 8192u) : 100u, std::byte{0xff});
    const iovec data{block.data(), block.size()};
    REQUIRE(session.send(Message::RamPacked, encode_ram({&run, 1}, crcs), {&data, 1}).ok());
    const auto outcome = receiving.get();
    REQUIRE_FALSE(outcome.ok());
    REQUIRE(outcome.error().code ==
            (block.size() == 100 && agreed ? ErrorCode::Corrupt : ErrorCode::Protocol));
    REQUIRE(ram_is_zero(destination));
}

TEST_CASE("verification finds a page that differs, before COMMIT", "[migration][transfer]") {
    Parameters wanted;
    wanted.verify = true;
    Machines machines;
    for (std::uint64_t page = 0; page < 700; ++page)
        machines.fill(page, std::byte{3});
    const bool damage = GENERATE(false, true);
    machines.link.source->on_frame = [&](Message type, Bytes&) {
        if (type == Message::FinalRound && damage)
            *machines.destination.memory().host(RamOffset{(std::uint64_t{4} << 20) + 5}) = std::byte{1};
        return Action::Pass;
    };
    machines.migrate_with(wanted);
    if (!damage) {
        REQUIRE(machines.sent.ok());
        REQUIRE(machines.received.ok());
        REQUIRE(machines.received->verify > 0us);
        return;
    }
    REQUIRE_FALSE(machines.received.ok());
    REQUIRE(machines.received.error().code == ErrorCode::Corrupt);
    REQUIRE(machines.received.error().text.find("RAM differs, first between ram:0x400000 and ram:0x600000") !=
            std::string::npos);
    REQUIRE_FALSE(machines.sent.ok());
    REQUIRE(machines.sent.error().text == "destination: " + machines.received.error().text);
    REQUIRE_FALSE(machines.source.called("handed_over"));
    REQUIRE(machines.source.owns_disk());
    REQUIRE(ram_is_zero(machines.destination));
}

TEST_CASE("the forecast of the downtime counts the comparison of all of RAM", "[migration][transfer]") {
    const bool verify = GENERATE(false, true);
    Parameters wanted;
    wanted.verify = verify;
    Machines machines;
    machines.migrate_with(wanted, {.fixed_cost = 7'000us});
    REQUIRE(machines.sent.ok());
    const RoundReport& round = machines.sent->rounds.front();
    REQUIRE(round.expected_downtime >= round.fixed_cost);
    if (verify)
        REQUIRE(round.fixed_cost > 7'000us);
    else
        REQUIRE(round.fixed_cost == 7'000us);
}

TEST_CASE("STATE without the checksums that were agreed is refused", "[migration][transfer][hostile]") {
    World world;
    TestPort destination{world, kRam};
    const Link link = connected();
    SourceSession session{*link.source};
    Progress progress;
    auto receiving = std::async(
        std::launch::async, [&] { return receive(destination, *link.destination, {}, progress, nullptr); });
    const Hello hello{kProtocolVersion, kCanVerify, {}, Purpose::Move, destination.description};
    REQUIRE(session.send(Message::Hello, encode(hello)).ok());
    REQUIRE(session.expect(Message::HelloReply).ok());
    const PageRun all{RamOffset{0}, kRam / kPageSize};
    REQUIRE(session.send(Message::RamZero, encode_zero({&all, 1})).ok());
    REQUIRE(session.send(Message::RoundEnd, encode(Round{1, kRam / kPageSize})).ok());
    REQUIRE(session.expect(Message::RoundAck).ok());
    REQUIRE(session.send(Message::FinalRound, encode(Round{2, 0})).ok());
    REQUIRE(session.send(Message::RoundEnd, encode(Round{2, 0})).ok());
    const int what = GENERATE(0, 1, 2);
    const std::vector<std::uint32_t> digests(what == 1 ? 5 : 4);
    if (what == 0)
        (void)session.send(Message::State, encode(StateBody{{}, {}}));
    else
        (void)session.send(Message::Verify, encode_verify(what == 1 ? 0 : 1, digests));
    const auto outcome = receiving.get();
    REQUIRE_FALSE(outcome.ok());
    REQUIRE(outcome.error().code == ErrorCode::Protocol);
}

TEST_CASE("the digest sees every byte and has a place for the rest", "[ram][transfer]") {
    const auto memory =
        std::move(GuestMemory::create(2 * kDigestBytes + 3 * kPageSize, std::uint64_t{3} << 30)).value();
    const auto before = std::move(digest_ram(*memory, nullptr)).value();
    REQUIRE(before.size() == 3);
    for (const std::uint64_t at : {std::uint64_t{0}, kDigestBytes - 1, kDigestBytes, memory->size() - 1}) {
        *memory->host(RamOffset{at}) = std::byte{1};
        const auto after = std::move(digest_ram(*memory, nullptr)).value();
        for (std::size_t i = 0; i < 3; ++i)
            REQUIRE((after[i] == before[i]) == (i != at / kDigestBytes));
        *memory->host(RamOffset{at}) = std::byte{0};
    }
    auto cancel = std::move(Cancel::create()).value();
    cancel->request();
    REQUIRE(digest_ram(*memory, cancel.get()).error().code == ErrorCode::Cancelled);
}

TEST_CASE("the rate holds over any stretch of time, and idleness is not saved up", "[ram][transfer]") {
    RateLimit limit{[] { return std::uint64_t{0}; }};
    const auto start = RateLimit::Clock::now();
    auto now = start;
    constexpr std::uint64_t kRate = 100'000'000;
    constexpr std::uint64_t kFrame = 1'000'000;
    // As fast as it lets us, for ten seconds.
    for (int frame = 0; frame < 1000; ++frame)
        now = std::max(now, limit.reserve(kFrame, kRate, now));
    const double seconds = std::chrono::duration<double>(now - start).count();
    REQUIRE(seconds == Approx(10.0).epsilon(0.01));
    // Nothing for an hour: no more than a burst of 20 ms comes of it.
    now += 1h;
    const auto idle_end = now;
    for (int frame = 0; frame < 100; ++frame)
        now = std::max(now, limit.reserve(kFrame, kRate, now));
    REQUIRE(std::chrono::duration<double>(now - idle_end).count() == Approx(1.0 - 0.02 - 0.01).epsilon(0.02));
    // A change counts from then on.
    const auto change = now;
    for (int frame = 0; frame < 100; ++frame)
        now = std::max(now, limit.reserve(kFrame, 10 * kRate, now));
    REQUIRE(std::chrono::duration<double>(now - change).count() == Approx(0.1).epsilon(0.2));
}

TEST_CASE("a wait for tokens ends with a cancel or when the limit is lifted", "[ram][transfer]") {
    std::atomic<std::uint64_t> rate{1000};
    RateLimit limit{[&] { return rate.load(); }};
    auto cancel = std::move(Cancel::create()).value();
    auto waiting = std::async(std::launch::async, [&] { return limit.take(100'000'000, cancel.get()); });
    cancel->request();
    REQUIRE(waiting.get().error().code == ErrorCode::Cancelled);

    auto raised = std::async(std::launch::async, [&] { return limit.take(100'000'000, nullptr); });
    rate = std::uint64_t{1} << 40;
    REQUIRE(raised.get().ok());
    rate = 1000;
    auto lifted = std::async(std::launch::async, [&] { return limit.take(100'000'000, nullptr); });
    limit.lift();
    REQUIRE(lifted.get().ok());
    REQUIRE(limit.frame_bytes(1 << 20) == 1 << 20);
}

TEST_CASE("a slow rate makes small frames", "[ram][transfer]") {
    std::uint64_t rate = 0;
    RateLimit limit{[&] { return rate; }};
    REQUIRE(limit.frame_bytes(1 << 20) == 1 << 20);
    rate = 1'000'000;
    REQUIRE(limit.frame_bytes(1 << 20) == 1 << 16);
    rate = 10'000'000;
    REQUIRE(limit.frame_bytes(1 << 20) == 500'000);
    rate = 1'000'000'000;
    REQUIRE(limit.frame_bytes(1 << 20) == 1 << 20);
}

} // namespace transfer_test
