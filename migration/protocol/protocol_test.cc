// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/socket_channel.h"
#include "migration/protocol/crc32c.h"
#include "migration/protocol/session.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <sys/socket.h>

namespace protocol_test {

using namespace godwit;
using namespace godwit::migration;
using namespace std::chrono_literals;

namespace {

struct Pair {
    std::unique_ptr<Channel> source;
    std::unique_ptr<Channel> destination;
};

Pair connected() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    Pair pair{std::move(SocketChannel::adopt(Fd::adopt(fds[0]), "D")).value(),
              std::move(SocketChannel::adopt(Fd::adopt(fds[1]), "S")).value()};
    pair.source->set_timeout(200ms);
    pair.destination->set_timeout(200ms);
    return pair;
}

Status write(Channel& channel, std::span<const std::byte> bytes) {
    const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    return channel.write(std::span{&part, 1});
}

Bytes frame(FrameHeader header, std::span<const std::byte> body) {
    header.body_length = static_cast<std::uint32_t>(body.size());
    header.body_crc = crc32c(body);
    const auto head = encode(header);
    Bytes all(head.size() + body.size());
    std::ranges::copy(body, std::ranges::copy(head, all.begin()).out);
    return all;
}

Hello sample_hello() {
    Hello hello{kProtocolVersion, 0, {}, Purpose::Check, {}};
    hello.machine.board = "test";
    hello.machine.memory = 4096;
    hello.machine.cpu.cpuid = {{0}, {1}};
    return hello;
}

} // namespace

TEST_CASE("CRC-32C has the values of RFC 3720", "[protocol]") {
    const std::string_view digits = "123456789";
    REQUIRE(crc32c(std::as_bytes(std::span{digits})) == 0xe3069283);
    REQUIRE(crc32c({}) == 0);
    std::vector<std::byte> bytes(32);
    REQUIRE(crc32c(bytes) == 0x8a9136aa);
    std::ranges::fill(bytes, std::byte{0xff});
    REQUIRE(crc32c(bytes) == 0x62a8ab43);
    for (std::size_t i = 0; i < 32; ++i)
        bytes[i] = static_cast<std::byte>(i);
    REQUIRE(crc32c(bytes) == 0x46dd794e);
}

TEST_CASE("all ways to a CRC agree for every length around their blocks", "[protocol]") {
    std::vector<std::byte> bytes(3 * 4096);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
    const std::span all{bytes};
    for (const std::size_t length :
         {0, 1, 7, 8, 9, 255, 256, 257, 511, 512, 767, 4079, 4080, 4081, 4096, 8159, 8160, 8161, 12285}) {
        const std::uint32_t expected = crc32c_by_table(all.subspan(3, length), 0x12345678);
        // What comes next is never read, wherever it is said to be.
        for (const std::uintptr_t next : {0, 0x10}) {
            auto* const nowhere = reinterpret_cast<const std::byte*>(next);
            if (crc32c_has_instruction())
                REQUIRE(crc32c_by_instruction(all.subspan(3, length), 0x12345678, nowhere) == expected);
            if (crc32c_has_folding())
                REQUIRE(crc32c_by_folding(all.subspan(3, length), 0x12345678, nowhere) == expected);
        }
        const std::size_t half = length / 2;
        REQUIRE(crc32c(all.subspan(3 + half, length - half), crc32c(all.subspan(3, half), 0x12345678)) ==
                expected);
    }
}

TEST_CASE("a frame arrives as it was sent", "[protocol]") {
    Pair pair = connected();
    SourceSession source{*pair.source};
    DestinationSession destination{*pair.destination};
    REQUIRE(source.send(Message::Hello, encode(sample_hello())).ok());
    REQUIRE(source.state() == SourceState::Greeted);
    const Hello hello = decode_hello(std::move(destination.expect(Message::Hello)).value()).value();
    REQUIRE(hello.machine == sample_hello().machine);
    REQUIRE(hello.purpose == Purpose::Check);
    REQUIRE(destination.state() == DestinationState::Greeted);
}

TEST_CASE("a header is checked before its lengths are believed", "[protocol]") {
    Pair pair = connected();
    DestinationSession destination{*pair.destination};
    FrameHeader header{Message::Hello, 1, 0, 0, 0};
    std::string expected;
    SECTION("a body that is too long") {
        header.body_length = 0xffff'fff0;
        const auto raw = encode(header);
        REQUIRE(write(*pair.source, raw).ok());
        expected = "HELLO of 4294967280 + 0 bytes, at most 1048576 + 0 can be";
    }
    SECTION("data where there is none") {
        header.data_length = 1;
        REQUIRE(write(*pair.source, encode(header)).ok());
        expected = "HELLO of 0 + 1 bytes, at most 1048576 + 0 can be";
    }
    SECTION("an unknown type") {
        header.type = Message{0};
        REQUIRE(write(*pair.source, encode(header)).ok());
        expected = "message type 0 is unknown";
    }
    SECTION("another protocol") {
        REQUIRE(write(*pair.source,
                      std::as_bytes(std::span{std::string_view{"GET / HTTP/1.1\r\nHost: example\r\n\r\n"}}))
                    .ok());
        expected = "the peer does not speak godwit's protocol: a frame starts with 0x20544547";
    }
    SECTION("any damaged bit") {
        auto raw = encode(header);
        const std::size_t bit = GENERATE(range(32U, 256U));
        raw[bit / 8] ^= std::byte{1} << (bit % 8);
        REQUIRE(write(*pair.source, raw).ok());
        expected = "the checksum of a frame header does not hold";
    }
    const auto refused = destination.receive();
    REQUIRE(refused.error().text == expected);
    REQUIRE(pair.destination->bytes_read() == kHeaderBytes);
}

TEST_CASE("a lost or repeated frame is noticed", "[protocol]") {
    Pair pair = connected();
    DestinationSession destination{*pair.destination};
    REQUIRE(write(*pair.source, frame({Message::Hello, 2}, encode(sample_hello()))).ok());
    REQUIRE(destination.receive().error().text == "HELLO has sequence number 2, 1 was due");
}

TEST_CASE("a damaged body is noticed", "[protocol]") {
    Pair pair = connected();
    DestinationSession destination{*pair.destination};
    Bytes raw = frame({Message::Hello, 1}, encode(sample_hello()));
    raw.back() ^= std::byte{1};
    REQUIRE(write(*pair.source, raw).ok());
    REQUIRE(destination.receive().error().text == "the checksum of HELLO does not hold");
}

TEST_CASE("what is out of turn is refused, in every state", "[protocol]") {
    for (const MessageTraits& message : kMessages) {
        Pair pair = connected();
        DestinationSession destination{*pair.destination};
        REQUIRE(
            write(*pair.source, frame({message.type, 1}, encode_error(error(ErrorCode::System, "x")))).ok());
        const auto outcome = destination.receive();
        if (next_state(DestinationState::Connected, Step::Receive, message.type).has_value())
            continue;
        REQUIRE(outcome.error().code == ErrorCode::Protocol);
        REQUIRE(outcome.error().text ==
                fmt::format("{} may not be received in the state 'connected'", message.name));
        REQUIRE(destination.state() == DestinationState::Connected);
    }
    Pair pair = connected();
    SourceSession source{*pair.source};
    REQUIRE(source.send(Message::Commit).error().code == ErrorCode::Internal);
    REQUIRE(pair.source->bytes_written() == 0);
}

TEST_CASE("the peer's reason becomes ours", "[protocol]") {
    Pair pair = connected();
    SourceSession source{*pair.source};
    DestinationSession destination{*pair.destination};
    REQUIRE(source.send(Message::Hello, encode(sample_hello())).ok());
    destination.tell(error(ErrorCode::NoDevice, "no room\n"), 100ms);
    SECTION("when it is read") {
        const auto outcome = source.expect(Message::HelloReply);
        REQUIRE(outcome.error().code == ErrorCode::NoDevice);
        REQUIRE(outcome.error().text == "destination: no room?");
    }
    SECTION("when something is sent to a peer that is gone") {
        pair.destination.reset();
        SourceSession late{*pair.source};
        const auto outcome = late.send(Message::Hello, encode(sample_hello()));
        REQUIRE(outcome.error().text == "destination: no room?");
        REQUIRE(late.state() == SourceState::Failed);
        return;
    }
    SECTION("when it is looked for") {
        REQUIRE(source.check_peer().error().text == "destination: no room?");
        REQUIRE(source.peer_gave_up());
    }
    REQUIRE(source.state() == SourceState::Failed);
}

TEST_CASE("a piece of what the guest is booted with comes as it was sent", "[protocol]") {
    const Bytes bytes(kBootBytesPerFrame, std::byte{7});
    const Bytes body = encode(BootPiece{BootPart::Initrd, 1 << 30, 1 << 20, 0x12345678, bytes});
    REQUIRE(body.size() <= traits_of(Message::Boot)->max_body);
    const auto piece = decode_boot(body);
    REQUIRE(piece.ok());
    CHECK(piece->part == BootPart::Initrd);
    CHECK(piece->total == 1 << 30);
    CHECK(piece->offset == 1 << 20);
    CHECK(piece->sum == 0x12345678);
    CHECK(std::ranges::equal(piece->bytes, bytes));

    Bytes longer = body;
    longer.push_back(std::byte{7});
    CHECK(decode_boot(longer).error().text ==
          "a piece of 1048577 bytes of the initrd, at most 1048576 can be");
    Bytes other = body;
    other[0] = std::byte{3};
    CHECK(decode_boot(other).error().code == ErrorCode::Protocol);
    for (std::size_t size = 0; size < 21; ++size)
        CHECK_FALSE(decode_boot(std::span{body}.first(size)).ok());
}

TEST_CASE("hostile bodies are refused", "[protocol]") {
    SECTION("another version") {
        Hello hello = sample_hello();
        hello.version = kProtocolVersion + 1;
        REQUIRE(decode_hello(encode(hello)).error().code == ErrorCode::Incompatible);
        REQUIRE(hello_version(encode(hello)).value() == kProtocolVersion + 1);
    }
    SECTION("another purpose") {
        Bytes body = encode(sample_hello());
        body[28] = std::byte{2};
        REQUIRE(decode_hello(body).error().text == "purpose 2");
    }
    SECTION("every truncation and an extra byte") {
        Bytes body = encode(sample_hello());
        for (std::size_t length = 0; length < body.size(); ++length)
            REQUIRE_FALSE(decode_hello(std::span{body}.first(length)).ok());
        body.push_back(std::byte{0});
        REQUIRE_FALSE(decode_hello(body).ok());
    }
    SECTION("runs of pages") {
        constexpr std::uint64_t kRam = 64 * kPageSize;
        const auto refused = [](std::uint64_t offset, std::uint32_t pages) {
            const PageRun run{RamOffset{offset}, pages};
            const std::vector<std::uint32_t> crcs(pages <= 256 ? pages : 0);
            return !decode_zero(encode_zero({&run, 1}), kRam).ok() &&
                   !decode_ram(encode_ram({&run, 1}, crcs), static_cast<std::uint32_t>(pages * kPageSize),
                               kRam)
                        .ok();
        };
        REQUIRE_FALSE(refused(0, 64));
        REQUIRE_FALSE(refused(63 * kPageSize, 1));
        REQUIRE(refused(0, 0));
        REQUIRE(refused(1, 1));
        REQUIRE(refused(kRam, 1));
        REQUIRE(refused(63 * kPageSize, 2));
        REQUIRE(refused(~std::uint64_t{0xfff}, 2));
        REQUIRE(refused(0, 0xffff'ffff));
        const PageRun run{RamOffset{0}, 2};
        const std::uint32_t crcs[] = {1, 2};
        REQUIRE_FALSE(decode_ram(encode_ram({&run, 1}, crcs), 4096, kRam).ok());
        REQUIRE_FALSE(decode_ram(encode_ram({&run, 1}, {crcs, 1}), 8192, kRam).ok());
        REQUIRE_FALSE(decode_zero(encode_zero({}), kRam).ok());
    }
    SECTION("a run state that is none") {
        Bytes body = encode(Commit{{}, kLastRunState});
        REQUIRE(decode_commit(body).value().state == kLastRunState);
        body[16] = std::byte{3};
        REQUIRE_FALSE(decode_commit(body).ok());
    }
    SECTION("a peer cannot put us in doubt") {
        REQUIRE(decode_error(encode_error(error(ErrorCode::InDoubt, "x"))).code == ErrorCode::Protocol);
    }
}

} // namespace protocol_test
