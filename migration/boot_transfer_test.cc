// SPDX-License-Identifier: Apache-2.0
//
// What a guest is booted with goes with it: whole or not at all, and never instead of the guest.
#include "migration/boot_transfer.h"
#include "migration/destination.h"
#include "migration/protocol/crc32c.h"
#include "migration/source.h"
#include "migration/test_channel.h"
#include "migration/test_port.h"

#include <catch2/catch.hpp>

#include <future>

namespace boot_transfer_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::test;
using namespace std::chrono_literals;
using Action = TestChannel::Action;

namespace {

constexpr std::uint64_t kRam = std::uint64_t{4} << 20;

struct Outcome {
    Result<Report> source;
    Result<Report> destination;
};

struct Pair {
    Pair() : source(world, kRam), destination(world, kRam) { source.boot(RunState::Running); }

    Outcome migrate_over(const Link& link) {
        auto receiving = std::async(std::launch::async, [&] {
            return receive(destination, *link.destination, {.timeout = 10s}, destination_progress, nullptr);
        });
        LiveParameters parameters;
        parameters.set(wanted);
        SourceOptions options;
        options.timeout = 10s;
        options.parameters = &parameters;
        auto sent = migrate(source, *link.source, options, source_progress, cancel.get());
        return {std::move(sent), receiving.get()};
    }

    World world;
    TestPort source;
    TestPort destination;
    Progress source_progress;
    Progress destination_progress;
    Parameters wanted;
    std::unique_ptr<Cancel> cancel = std::move(Cancel::create()).value();
};

void check_moved(const Outcome& outcome) {
    INFO((outcome.source.ok() ? "" : outcome.source.error().text));
    INFO((outcome.destination.ok() ? "" : outcome.destination.error().text));
    REQUIRE(outcome.source.ok());
    REQUIRE(outcome.destination.ok());
}

// Bodies of BOOT on their way.
void watch(TestChannel& channel, std::vector<Bytes>& bodies) {
    channel.on_frame = [&](Message type, Bytes& frame) {
        if (type == Message::Boot)
            bodies.emplace_back(frame.begin() + kHeaderBytes, frame.end());
        return Action::Pass;
    };
}

// Makes a frame of what was changed in it.
void seal(Bytes& frame) {
    const std::span<std::byte> all{frame};
    store_le(all.subspan(20), crc32c(all.subspan(kHeaderBytes)));
    store_le(all.subspan(28), crc32c(all.first(28)));
}

} // namespace

TEST_CASE("what a guest is booted with moves in pieces, and is counted", "[boot-transfer]") {
    Pair pair;
    pair.source.boot_with = make_boot_source((5 << 20) / 2, 1 << 20, std::string(65536, 'x'));
    const Link link = connected();
    std::vector<Bytes> bodies;
    watch(*link.source, bodies);
    const Outcome outcome = pair.migrate_over(link);
    check_moved(outcome);
    CHECK(same_boot_source(pair.source.boot_with, pair.destination.boot_with));
    REQUIRE(bodies.size() == 3 + 1 + 1); // of at most 1 MiB
    const auto last_of_kernel = decode_boot(bodies[2]);
    REQUIRE(last_of_kernel.ok());
    CHECK(last_of_kernel->total == (5 << 20) / 2);
    CHECK(last_of_kernel->offset == 2 << 20);
    CHECK(outcome.source->bytes > pair.source.boot_with->bytes());
    CHECK(outcome.source->bytes == outcome.destination->bytes);
}

TEST_CASE("a bandwidth cap holds for what the guest is booted with", "[boot-transfer]") {
    Pair pair;
    pair.source.writes_memory = false;
    pair.wanted.max_bandwidth = std::uint64_t{10} << 20; // half a MiB in each slice
    pair.source.boot_with = make_boot_source(1 << 20, 0, "");
    const Link link = connected();
    std::vector<Bytes> bodies;
    watch(*link.source, bodies);
    check_moved(pair.migrate_over(link));
    CHECK(bodies.size() == 2 + 1);
    CHECK(same_boot_source(pair.source.boot_with, pair.destination.boot_with));
}

TEST_CASE("a guest of which nobody knows what it is booted with moves all the same", "[boot-transfer]") {
    Pair pair;
    pair.source.boot_with.reset();
    check_moved(pair.migrate_over(connected()));
    CHECK(pair.destination.boot_with == nullptr);
}

TEST_CASE("a destination that does not take it gets the guest without", "[boot-transfer]") {
    Pair pair;
    const Link link = connected();
    std::vector<Bytes> bodies;
    // As an older destination: the capability is none that it knows.
    link.source->on_frame = [&](Message type, Bytes& frame) {
        if (type == Message::Hello) {
            const std::span<std::byte> capabilities = std::span{frame}.subspan(kHeaderBytes + 4, 8);
            REQUIRE((load_le<std::uint64_t>(capabilities) & kCanBoot) != 0);
            store_le(capabilities, load_le<std::uint64_t>(capabilities) & ~kCanBoot);
            seal(frame);
        } else if (type == Message::Boot) {
            bodies.push_back(frame);
        }
        return Action::Pass;
    };
    check_moved(pair.migrate_over(link));
    CHECK(bodies.empty());
    CHECK(pair.destination.boot_with == nullptr);
    CHECK(pair.source.boot_with != nullptr);
}

TEST_CASE("what came with a guest that did not stay is forgotten", "[boot-transfer]") {
    Pair pair;
    pair.destination.fails = "apply_incoming"; // after it was put in place
    const Outcome first = pair.migrate_over(connected());
    REQUIRE_FALSE(first.source.ok());
    CHECK(pair.destination.boot_with == nullptr);
    CHECK(pair.source.boot_with != nullptr);
    pair.destination.fails.clear();
    check_moved(pair.migrate_over(connected()));
    CHECK(same_boot_source(pair.source.boot_with, pair.destination.boot_with));
}

TEST_CASE("a cancel while what the guest is booted with is sent leaves the guest here", "[boot-transfer]") {
    Pair pair;
    pair.source.boot_with = make_boot_source(2 << 20, 0, "");
    const Link link = connected();
    link.source->on_frame = [&](Message type, Bytes&) {
        if (type == Message::Boot)
            pair.cancel->request("the test");
        return Action::Pass;
    };
    const Outcome outcome = pair.migrate_over(link);
    REQUIRE_FALSE(outcome.source.ok());
    CHECK(outcome.source.error().code == ErrorCode::Cancelled);
    CHECK_FALSE(outcome.destination.ok());
    CHECK(pair.source.runs());
    CHECK(pair.destination.boot_with == nullptr);
}

// ---- a source that means harm

namespace {

struct Hostile {
    explicit Hostile(std::uint64_t capabilities = kCanBoot) : session(*link.source) {
        link.source->set_timeout(5s);
        receiving = std::async(std::launch::async, [this] {
            return receive(destination, *link.destination, {.timeout = 5s}, progress, nullptr);
        });
        const Hello hello{kProtocolVersion, capabilities, {}, Purpose::Move, destination.description};
        REQUIRE(session.send(Message::Hello, encode(hello)).ok());
        REQUIRE(session.expect(Message::HelloReply).ok());
    }
    void send(Message type, const Bytes& body) { (void)session.send(type, body); }
    void boot(BootPart part, std::uint64_t total, std::uint64_t offset, std::string_view text,
              std::uint32_t sum) {
        send(Message::Boot, encode(BootPiece{part, total, offset, sum, std::as_bytes(std::span{text})}));
    }
    void boot(BootPart part, std::string_view text) {
        boot(part, text.size(), 0, text, crc32c(std::as_bytes(std::span{text})));
    }
    std::string refusal() {
        link.source->finish_writing();
        const auto outcome = receiving.get();
        REQUIRE_FALSE(outcome.ok());
        CHECK((outcome.error().code == ErrorCode::Corrupt || outcome.error().code == ErrorCode::Protocol ||
               outcome.error().code == ErrorCode::Disconnected));
        CHECK(destination.boot_with == nullptr);
        CHECK_FALSE(destination.called("apply_incoming"));
        CHECK(ram_is_zero(destination));
        return outcome.error().text;
    }

    World world;
    TestPort destination{world, 16 * kPageSize};
    Progress progress;
    Link link = connected();
    SourceSession session;
    std::future<Result<Report>> receiving;
};

void expect(const std::string& text, std::string_view part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
}

} // namespace

TEST_CASE("a source that does not keep to the pieces is refused", "[boot-transfer][hostile]") {
    Hostile source;
    using enum BootPart;
    SECTION("larger than RAM") {
        source.boot(Kernel, 16 * kPageSize + 1, 0, "k", 0);
        expect(source.refusal(), "what the guest is booted with: kernel of 65537 bytes, 1 to 65536 can be");
    }
    SECTION("the largest total that there is") {
        source.boot(Kernel, ~std::uint64_t{0}, 0, "k", 0);
        expect(source.refusal(), "1 to 65536 can be");
    }
    SECTION("an offset beyond the end") {
        source.boot(Kernel, 10, ~std::uint64_t{0}, "k", 0);
        expect(source.refusal(), "1 bytes of the kernel from byte 18446744073709551615 on; 0 of 10 are here");
    }
    SECTION("a checksum that does not hold") {
        source.boot(Kernel, 6, 0, "kernel", 1);
        expect(source.refusal(), "the checksum of the kernel up to byte 6 does not hold");
    }
    SECTION("a part that there is not") {
        source.boot(BootPart{3}, "what");
        expect(source.refusal(), "part 3 of what the guest is booted with");
    }
    SECTION("a command line that is too long") {
        source.boot(Kernel, "kernel");
        source.boot(CommandLine, kMaxBootCommandLine + 1, 0, "x", 0);
        expect(source.refusal(), "command line of 65537 bytes, 0 to 65536 can be");
    }
    SECTION("a body without the numbers") {
        source.send(Message::Boot, Bytes(20));
        CHECK_FALSE(source.refusal().empty());
    }
    SECTION("pages before everything is here") {
        source.boot(Kernel, "kernel");
        const PageRun all{RamOffset{0}, 16};
        source.send(Message::RamZero, encode_zero({&all, 1}));
        expect(source.refusal(), "RAM_ZERO came where BOOT was due");
    }
    SECTION("the end before everything is here") {
        source.boot(Kernel, "kernel");
        source.refusal();
    }
    SECTION("another piece behind the end") {
        source.boot(Kernel, "kernel");
        source.boot(CommandLine, "");
        source.boot(Kernel, "kernel");
        expect(source.refusal(), "BOOT came where pages were due");
    }
}

TEST_CASE("what was not agreed is refused", "[boot-transfer][hostile]") {
    Hostile source{0};
    source.boot(BootPart::Kernel, "kernel");
    expect(source.refusal(), "BOOT came where pages were due");
}

} // namespace boot_transfer_test
