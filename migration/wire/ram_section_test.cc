// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/ram_writer.h"
#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_writer.h"
#include "migration/wire/test_sections.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <sys/mman.h>
#include <unistd.h>

namespace ram_section_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::wire;
using namespace godwit::migration::test;

namespace {

class VectorRam : public RamTarget {
  public:
    explicit VectorRam(std::size_t size) : bytes(size, std::byte{0xee}) {}
    std::uint64_t size() const override { return bytes.size(); }
    std::span<std::byte> page(RamOffset offset) override {
        return std::span{bytes}.subspan(offset.value, kPageSize);
    }
    void fill(RamOffset offset, std::byte value) override { std::ranges::fill(page(offset), value); }
    std::vector<std::byte> bytes;
};

constexpr std::uint64_t kRam = 3 * kPageSize;

// Two PARTs: page 0 with data and page 1 zero, then page 2 with data.
void write_stream(Sink& sink, TestSection<TimerState>& timer) {
    std::vector<std::byte> page(kPageSize, std::byte{0xab});
    StreamWriter writer{sink};
    RamWriter ram{sink};
    REQUIRE(writer.begin().ok());
    REQUIRE(ram.start(kRam).ok());
    REQUIRE(ram.begin_part().ok());
    REQUIRE(ram.page(RamOffset{0}, page).ok());
    REQUIRE(ram.zero_page(RamOffset{kPageSize}).ok());
    REQUIRE(ram.end_part().ok());
    REQUIRE(ram.begin_part().ok());
    REQUIRE(ram.page(RamOffset{2 * kPageSize}, page).ok());
    REQUIRE(ram.end_part().ok());
    REQUIRE(ram.end().ok());
    REQUIRE(writer.section(timer).ok());
    GlobalStateSection global{RunState::Paused};
    REQUIRE(writer.section(global).ok());
    REQUIRE(writer.end(Description::Whole).ok());
}

std::string load_error(std::span<const std::byte> bytes, VectorRam& ram) {
    TestSection<TimerState> timer;
    StateSection* const sections[] = {&timer};
    Input in{bytes};
    StreamReader reader{in, sections, &ram, nullptr};
    const auto outcome = reader.load();
    return outcome.ok() ? "accepted" : outcome.error().text;
}

} // namespace

TEST_CASE("the RAM section has QEMU's bytes", "[wire]") {
    BufferSink sink;
    TestSection<TimerState> timer{TimerState{1, 2}};
    write_stream(sink, timer);

    ByteWriter expected;
    const auto hex = [&](std::initializer_list<std::uint8_t> bytes) {
        for (const std::uint8_t byte : bytes)
            expected.be(byte);
    };
    hex({0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 3, 7, 0, 0, 0, 7});
    expected.append("microvm");
    hex({1, 0, 0, 0, 2, 3, 'r', 'a', 'm', 0, 0, 0, 0, 0, 0, 0, 4});
    hex({0, 0, 0, 0, 0, 0, 0x30, 4, 11});
    expected.append("microvm.ram");
    hex({0, 0, 0, 0, 0, 0, 0x30, 0});
    hex({0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2});
    hex({2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 11});
    expected.append("microvm.ram");
    for (std::size_t i = 0; i < kPageSize; ++i)
        hex({0xab});
    hex({0, 0, 0, 0, 0, 0, 0x10, 0x22, 0});
    hex({0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2});
    hex({2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x20, 0x28});
    for (std::size_t i = 0; i < kPageSize; ++i)
        hex({0xab});
    hex({0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2});
    hex({3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2});
    hex({4, 0, 0, 0, 1, 5, 't', 'i', 'm', 'e', 'r'});
    REQUIRE(std::ranges::equal(sink.bytes().first(expected.size()), expected.bytes()));
}

TEST_CASE("a complete stream is read from memory and from a descriptor", "[wire]") {
    TestSection<TimerState> timer{TimerState{1, 2}};
    Fd file = Fd::adopt(::memfd_create("stream", MFD_CLOEXEC));
    FdSink sink{std::move(*file.duplicate())};
    write_stream(sink, timer);
    REQUIRE(sink.flush().ok());
    REQUIRE(::lseek(file.get(), 0, SEEK_SET) == 0);

    VectorRam ram{kRam};
    TestSection<TimerState> arrived;
    StateSection* const sections[] = {&arrived};
    FdSource source{std::move(file)};
    Input in{source};
    StreamReader reader{in, sections, &ram, nullptr};
    const auto outcome = reader.load();
    REQUIRE(outcome.ok());
    REQUIRE(outcome.value() == RunState::Paused);
    REQUIRE(arrived.commit_load().ok());
    REQUIRE(arrived.state == timer.state);
    REQUIRE(ram.bytes[0] == std::byte{0xab});
    REQUIRE(ram.bytes[kPageSize] == std::byte{0});
    REQUIRE(ram.bytes[2 * kPageSize - 1] == std::byte{0});
    REQUIRE(ram.bytes[3 * kPageSize - 1] == std::byte{0xab});
}

TEST_CASE("RAM records are checked before anything is written (CVE-2014-7840)", "[wire]") {
    BufferSink sink;
    TestSection<TimerState> timer;
    write_stream(sink, timer);
    std::vector<std::byte> bytes{sink.bytes().begin(), sink.bytes().end()};
    VectorRam ram{kRam};
    REQUIRE(load_error(bytes, ram) == "accepted");
    const std::size_t list = 37;                         // the block list's word
    const std::size_t page = list + 8 + 12 + 8 + 13 + 5; // the first page record's word
    SECTION("size differs") {
        VectorRam other{4 * kPageSize};
        REQUIRE(load_error(bytes, other) == "ram: RAM of 12288 bytes in the stream, 16384 here");
    }
    SECTION("offset outside") {
        bytes[page + 6] = std::byte{0x30};
        REQUIRE(load_error(bytes, ram) ==
                "ram: page ram:0x3000 is outside of RAM block 'microvm.ram' of 12288 bytes");
    }
    SECTION("offset far outside") {
        bytes[page] = std::byte{0xff};
        REQUIRE(load_error(bytes, ram).find("is outside of RAM block") != std::string::npos);
    }
    SECTION("no block named") {
        bytes[page + 7] = std::byte{0x28};
        REQUIRE(load_error(bytes, ram) == "ram: the first RAM page names no block");
    }
    SECTION("block not announced") {
        bytes[page + 9] = std::byte{'x'};
        REQUIRE(load_error(bytes, ram) == "ram: page of RAM block 'xicrovm.ram', which was not announced");
    }
    SECTION("unknown record") {
        bytes[page + 7] = std::byte{0x40};
        REQUIRE(load_error(bytes, ram).find("is of no kind that is known here") != std::string::npos);
    }
    SECTION("block list does not add up") {
        bytes[list + 6] = std::byte{0x20};
        REQUIRE(load_error(bytes, ram) ==
                "ram: RAM block 'microvm.ram' of 12288 bytes does not fit a total of 8192");
    }
    SECTION("every truncation") {
        for (std::size_t length = 0; length < sink.bytes().size(); ++length) {
            // Where the description would start, the stream is complete without it.
            if (sink.bytes()[length] == std::byte{6} && length > 8300)
                continue;
            CAPTURE(length);
            REQUIRE(load_error(std::span{bytes}.first(length), ram) != "accepted");
        }
    }
}

TEST_CASE("blocks that this machine does not have are read and dropped", "[wire]") {
    BufferSink sink;
    StreamWriter writer{sink};
    REQUIRE(writer.begin().ok());
    ByteWriter out;
    out.be(std::uint8_t{1});
    out.be(std::uint32_t{2});
    out.be(std::uint8_t{3});
    out.append("ram");
    out.be(std::uint32_t{0});
    out.be(std::uint32_t{4});
    out.be(std::uint64_t{0x5004});
    out.be(std::uint8_t{11});
    out.append("microvm.ram");
    out.be(std::uint64_t{0x3000});
    out.be(std::uint8_t{7});
    out.append("pc.bios");
    out.be(std::uint64_t{0x2000});
    out.be(std::uint64_t{0x10});
    out.be(std::uint8_t{0x7e});
    out.be(std::uint32_t{2});
    out.be(std::uint8_t{3});
    out.be(std::uint32_t{2});
    out.be(std::uint64_t{0x1008});
    out.be(std::uint8_t{7});
    out.append("pc.bios");
    out.zeros(kPageSize);
    out.be(std::uint64_t{0x22});
    out.be(std::uint8_t{0x55});
    out.be(std::uint64_t{0x2002}); // named again, this time ours
    out.be(std::uint8_t{11});
    out.append("microvm.ram");
    out.be(std::uint8_t{0x66});
    out.be(std::uint64_t{0x10});
    out.be(std::uint8_t{0x7e});
    out.be(std::uint32_t{2});
    REQUIRE(sink.write(out.bytes()).ok());
    TestSection<TimerState> timer;
    REQUIRE(writer.section(timer).ok());
    GlobalStateSection global{RunState::Paused};
    REQUIRE(writer.section(global).ok());
    REQUIRE(writer.end(Description::None).ok());
    VectorRam ram{kRam};
    REQUIRE(load_error(sink.bytes(), ram) == "accepted");
    REQUIRE(ram.bytes[0] == std::byte{0xee});
    REQUIRE(ram.bytes[2 * kPageSize] == std::byte{0x66});
}

} // namespace ram_section_test
