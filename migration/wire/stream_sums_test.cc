// SPDX-License-Identifier: Apache-2.0
//
// The check sums of a complete stream: any bit that is flipped, in RAM too, is found and its place is named;
// a stream without sums (a QEMU's) is taken as it is.
#include "migration/wire/description_json.h"
#include "migration/wire/ram_writer.h"
#include "migration/wire/stream_reader.h"
#include "migration/wire/stream_sums.h"
#include "migration/wire/stream_writer.h"
#include "migration/wire/test_sections.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace stream_sums_test {

using namespace godwit;
using namespace godwit::migration;
using namespace godwit::migration::wire;
using namespace godwit::migration::test;

namespace {

using Bytes = std::vector<std::byte>;

constexpr const char* kCpu = R"({"name": "a } and \"{\"", "cpuid": [{"leaf": "0x0"}]})";
constexpr const char* kGuest = R"({"stopped": 7})";

class VectorRam : public RamTarget {
  public:
    explicit VectorRam(std::size_t size) : bytes(size) {}
    std::uint64_t size() const override { return bytes.size(); }
    std::span<std::byte> page(RamOffset offset) override {
        return std::span{bytes}.subspan(offset.value, kPageSize);
    }
    void fill(RamOffset offset, std::byte value) override { std::ranges::fill(page(offset), value); }
    Bytes bytes;
};

BootSource boot_source(std::size_t kernel) {
    auto blob = std::move(BlobWriter::create("kernel")).value();
    REQUIRE(blob.append(Bytes(kernel, std::byte{0x5a})).ok());
    return {std::move(std::move(blob).seal()).value(), {}, "quiet"};
}

// With a kernel of that size in front of RAM.
Bytes stream(std::size_t pages, bool with_sums = true, std::size_t kernel = 0) {
    BufferSink buffer;
    SummingSink sums{buffer};
    Sink& sink = with_sums ? static_cast<Sink&>(sums) : buffer;
    OrderTrace order;
    StreamWriter writer{sink, &order};
    RamWriter ram{sink};
    REQUIRE(writer.begin().ok());
    REQUIRE(ram.start(pages * kPageSize).ok());
    if (kernel != 0)
        REQUIRE(write_boot(ram, boot_source(kernel)).ok());
    REQUIRE(ram.begin_part().ok());
    for (std::size_t i = 0; i < pages; ++i)
        REQUIRE(ram.page(RamOffset{i * kPageSize}, Bytes(kPageSize, static_cast<std::byte>(i + 1))).ok());
    REQUIRE(ram.end_part().ok());
    REQUIRE(ram.end().ok());
    TestSection<TimerState> timer{TimerState{1, 2}};
    TestSection<DeviceState> device{sample_device(), "0000:00:01.0/"};
    GlobalStateSection global{RunState::Paused};
    for (StateSection* const section : std::initializer_list<StateSection*>{&timer, &device, &global})
        REQUIRE(writer.section(*section).ok());
    writer.note({kCpu, kGuest});
    REQUIRE(writer.end(Description::Whole, with_sums ? &sums : nullptr).ok());
    return buffer.take();
}

class BytesSource : public ByteSource {
  public:
    explicit BytesSource(std::span<const std::byte> bytes) : bytes_(bytes) {}
    Result<std::size_t> read_some(std::span<std::byte> out) override {
        const std::size_t count = std::min(out.size(), bytes_.size());
        std::copy_n(bytes_.begin(), count, out.begin());
        bytes_ = bytes_.subspan(count);
        return count;
    }

  private:
    std::span<const std::byte> bytes_;
};

Result<RunState> loaded(std::span<const std::byte> bytes, std::size_t pages,
                        AfterRefusal after = AfterRefusal::ReadOn, GuestNotes* notes = nullptr) {
    TestSection<TimerState> timer;
    TestSection<DeviceState> device{{}, "0000:00:01.0/"};
    StateSection* const sections[] = {&timer, &device};
    VectorRam ram{pages * kPageSize};
    BytesSource source{bytes};
    Input in{source};
    StreamReader reader{in, sections, &ram, nullptr, after};
    auto outcome = reader.load();
    if (notes != nullptr)
        *notes = reader.notes();
    return outcome;
}

Bytes flipped(Bytes bytes, std::size_t at, unsigned bit) {
    bytes[at] ^= std::byte{1} << bit;
    return bytes;
}

} // namespace

TEST_CASE("any flipped bit of a complete stream is refused as damage", "[sums]") {
    const bool with_kernel = GENERATE(false, true);
    const Bytes plain = stream(2);
    const Bytes bytes = with_kernel ? stream(2, true, 100) : plain;
    // What lies in front of RAM; behind it the two are the same.
    const std::size_t tried = with_kernel ? bytes.size() - plain.size() + 100 : bytes.size();
    REQUIRE(loaded(bytes, 2).ok());
    const std::size_t end = *find_description(bytes);
    // Every byte once; of the larger stream a part, with each bit among it.
    for (std::size_t at = 0; at < tried; at += with_kernel ? 5 : 1) {
        const auto outcome = loaded(flipped(bytes, at, at % 8), 2);
        CAPTURE(at);
        REQUIRE_FALSE(outcome.ok());
        CAPTURE(outcome.error().text);
        REQUIRE(outcome.error().code == ErrorCode::Corrupt);
        // The description's own header is told by its place.
        if (at < end || at >= end + 5)
            REQUIRE(outcome.error().text.find("damaged") != std::string::npos);
    }
}

TEST_CASE("damage is named by what it hit and where", "[sums]") {
    constexpr std::size_t kPages = 64;
    const Bytes bytes = stream(kPages);
    REQUIRE(loaded(bytes, kPages).ok());
    const auto text = [](const Result<RunState>& outcome) { return outcome.error().text; };
    SECTION("a page") {
        REQUIRE(text(loaded(flipped(bytes, 40 * 4104, 3), kPages)) ==
                "bytes 131072 to 196607 are damaged (RAM from page ram:0x1f000 to ram:0x2f000): their check "
                "sum is "
                "not the one that was saved");
    }
    SECTION("what the guest is booted with") {
        const Bytes booted = stream(kPages, true, 100'000);
        REQUIRE(loaded(booted, kPages).ok());
        const auto why = text(loaded(flipped(booted, 70000, 3), kPages));
        CAPTURE(why);
        REQUIRE(why.find("the checksum of the kernel does not hold") != std::string::npos);
        REQUIRE(why.find("bytes 65536 to 131071 are damaged (what the guest is booted with") !=
                std::string::npos);
    }
    SECTION("two places") {
        const auto why = text(loaded(flipped(flipped(bytes, 1000, 0), 200000, 0), kPages));
        REQUIRE(why.starts_with("bytes 0 to 65535 are damaged (RAM from page ram:0x0 to ram:0xf000)"));
        REQUIRE(why.find("and 1 more places") != std::string::npos);
    }
    const std::size_t record = 37 + 8 + 12 + 8 + 13 + 5;
    SECTION("a record that then looks like another machine") {
        const Bytes other = flipped(bytes, record - 13 - 7, 0); // the block's size
        REQUIRE(text(loaded(other, kPages)).find("; bytes 0 to 65535 are damaged") != std::string::npos);
        REQUIRE(loaded(other, kPages).error().code == ErrorCode::Corrupt);
    }
    SECTION("a section's version") {
        const std::string_view name = "0000:00:01.0/device";
        const auto wanted = std::as_bytes(std::span{name});
        const auto found = std::ranges::search(bytes, wanted);
        const auto at = static_cast<std::size_t>(found.end() - bytes.begin()) + 4;
        const auto outcome = loaded(flipped(bytes, at, 4), kPages);
        REQUIRE(outcome.error().code == ErrorCode::Corrupt);
        REQUIRE(text(outcome).starts_with("section '0000:00:01.0/device' has version"));
    }
    SECTION("another machine is no damage") {
        REQUIRE(loaded(bytes, kPages + 1).error().code == ErrorCode::Incompatible);
    }
    SECTION("a peer that is not read to its end is believed") {
        const Bytes other = flipped(bytes, record - 13 - 7, 0);
        REQUIRE(text(loaded(other, kPages, AfterRefusal::Leave)).find("damaged") == std::string::npos);
    }
}

TEST_CASE("a stream without sums is taken as it is", "[sums]") {
    const Bytes bytes = stream(2, false);
    REQUIRE(loaded(bytes, 2).ok());
    REQUIRE(loaded(flipped(bytes, 1000, 0), 2).ok()); // nothing tells that this page is another one
}

TEST_CASE("the guest's processor is read from what is as it was written", "[sums]") {
    for (const bool with_sums : {true, false}) {
        const Bytes bytes = stream(2, with_sums);
        GuestNotes notes;
        REQUIRE(loaded(bytes, 2, AfterRefusal::ReadOn, &notes).ok());
        REQUIRE(notes == GuestNotes{kCpu, kGuest});
        // Of a machine that does not fit, where the stream was read on.
        REQUIRE(loaded(bytes, 3, AfterRefusal::ReadOn, &notes).error().code == ErrorCode::Incompatible);
        REQUIRE(notes == GuestNotes{kCpu, kGuest});
        REQUIRE_FALSE(loaded(bytes, 3, AfterRefusal::Leave, &notes).ok());
        REQUIRE(notes.empty());
    }
    GuestNotes notes;
    REQUIRE_FALSE(loaded(flipped(stream(2), 1000, 0), 2, AfterRefusal::ReadOn, &notes).ok());
    REQUIRE(notes.empty());
}

TEST_CASE("a description that ends within the processor has none", "[sums][hostile]") {
    const std::string whole = R"({"cpu": {"a": 1}, "godwit": {"order": [], "cpu": {"b": {"c": "\"}"}}}})";
    REQUIRE(notes_in(whole).cpu == R"({"b": {"c": "\"}"}})");
    for (std::size_t length = 0; length < whole.size() - 2; ++length)
        REQUIRE(notes_in(std::string_view{whole}.substr(0, length)).empty());
    REQUIRE(notes_in(R"({"cpu": {"a": 1}})").empty());
    REQUIRE(notes_in(R"({"godwit": {"cpu": 1}})").empty());
    REQUIRE(notes_in(R"({"godwit": {"cpu": {"\\)").empty());
}

TEST_CASE("sums of a large stream cover more blocks each", "[sums]") {
    StreamSums seen;
    const Bytes block(kSumBlock, std::byte{7});
    constexpr std::size_t kBlocks = (std::size_t{1} << 16) + 3;
    // The same content each time would hide a mix-up; its number makes it another one.
    for (std::size_t i = 0; i < kBlocks; i += 1024) {
        Bytes one = block;
        store_be(std::span{one}, static_cast<std::uint32_t>(i));
        for (std::size_t k = i; k < std::min(kBlocks, i + 1024); ++k)
            seen.add(one);
    }
    seen.add(std::span{block}.first(5));
    seen.finish();
    const SavedSums saved = SavedSums::of(seen);
    REQUIRE(saved.blocks_per_sum == 2);
    REQUIRE(saved.sums.size() == kBlocks / 2 + 1);
    std::string json = R"({"godwit": {"crc32c": )" + saved.json() + ", ";
    seal_description(json);
    const auto parsed = sums_in(json);
    REQUIRE(parsed.ok());
    REQUIRE(parsed->has_value());
    REQUIRE((*parsed)->sums == saved.sums);
    REQUIRE(damaged_ranges(seen, **parsed).empty());
    SavedSums other = saved;
    other.sums[3] ^= 1;
    other.sums[4] ^= 1;
    const auto ranges = damaged_ranges(seen, other);
    REQUIRE(ranges.size() == 1);
    REQUIRE(ranges[0].begin == 6 * kSumBlock);
    REQUIRE(ranges[0].end == 10 * kSumBlock);
}

TEST_CASE("hostile sums are refused", "[sums]") {
    const auto sealed = [](std::string text) {
        seal_description(text);
        return sums_in(text).ok();
    };
    REQUIRE(sealed(R"({"godwit": {"crc32c": {"bytes": 5, "blocks_per_sum": 1, "sums": "00000000"}, )"));
    REQUIRE_FALSE(sealed(R"({"godwit": {"crc32c": {"bytes": 5, "blocks_per_sum": 0, "sums": ""}, )"));
    REQUIRE_FALSE(sealed(R"({"godwit": {"crc32c": {"bytes": 5, "blocks_per_sum": 1, "sums": ""}, )"));
    REQUIRE_FALSE(sealed(R"({"godwit": {"crc32c": {"bytes": 5, "blocks_per_sum": 1, "sums": "0000000"}, )"));
    REQUIRE_FALSE(sealed(
        R"({"godwit": {"crc32c": {"bytes": 18446744073709551615, "blocks_per_sum": 1, "sums": "00000000"}, )"));
    REQUIRE_FALSE(sealed(
        R"({"godwit": {"crc32c": {"bytes": 5, "blocks_per_sum": 18446744073709551615, "sums": "00000000"}, )"));
    REQUIRE(sums_in("{}").ok());
    REQUIRE_FALSE(sums_in(R"({"godwit": {"crc32c": 1}})").ok());
}

} // namespace stream_sums_test
