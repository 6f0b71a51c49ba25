// SPDX-License-Identifier: Apache-2.0
//
// What the guest is booted with in the RAM section: written and read, seen by who knows nothing of it,
// damaged.
#include "migration/wire/boot_pages.h"
#include "migration/wire/ram_reader.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstring>
#include <functional>

namespace godwit::migration::wire {

namespace {

constexpr std::size_t kPages = 16;

class Ram final : public RamTarget {
  public:
    std::uint64_t size() const override { return bytes.size(); }
    std::span<std::byte> page(RamOffset offset) override {
        return std::span{bytes}.subspan(offset.value, kPageSize);
    }
    void fill(RamOffset offset, std::byte value) override {
        std::memset(page(offset).data(), std::to_integer<int>(value), kPageSize);
    }
    std::vector<std::byte> bytes = std::vector<std::byte>(kPages * kPageSize);
};

std::vector<std::byte> pattern(std::size_t size, unsigned seed) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<std::byte>((i * 31 + seed) % 251);
    return bytes;
}

Blob blob_of(std::span<const std::byte> bytes) {
    auto writer = BlobWriter::create("test");
    REQUIRE(writer.ok());
    REQUIRE(writer->append(bytes).ok());
    return std::move(std::move(*writer).seal()).value();
}

std::vector<std::byte> content_of(const Blob& blob) {
    std::vector<std::byte> bytes(blob.size());
    REQUIRE(blob.read(0, bytes).ok());
    return bytes;
}

BootSource source_of(std::size_t kernel, std::size_t initrd, std::string line) {
    BootSource source{blob_of(pattern(kernel, 1)), {}, std::move(line)};
    if (initrd != 0)
        source.initrd = blob_of(pattern(initrd, 2));
    return source;
}

// Bodies of START, of the parts that `write` writes, and of END, without the sections' headers and footers.
struct Parts {
    std::vector<std::vector<std::byte>> bodies;
};

class PartSink final : public Sink {
  public:
    Status write(std::span<const std::byte> bytes) override {
        all.insert(all.end(), bytes.begin(), bytes.end());
        return {};
    }
    std::vector<std::byte> all;
};

void write_pages(RamWriter& writer) {
    REQUIRE(writer.begin_part().ok());
    for (std::size_t page = 0; page < kPages; ++page) {
        const RamOffset at{page * kPageSize};
        if (page % 3 == 1)
            REQUIRE(writer.page(at, pattern(kPageSize, static_cast<unsigned>(page))).ok());
        else
            REQUIRE(writer.zero_page(at).ok());
    }
    REQUIRE(writer.end_part().ok());
}

std::vector<std::byte> section_with(const std::function<void(RamWriter&)>& boot) {
    PartSink sink;
    RamWriter writer{sink};
    REQUIRE(writer.start(kPages * kPageSize).ok());
    boot(writer);
    write_pages(writer);
    REQUIRE(writer.end().ok());
    return std::move(sink.all);
}

std::vector<std::byte> section_with(const BootSource& source) {
    return section_with([&](RamWriter& writer) { REQUIRE(write_boot(writer, source).ok()); });
}

// As a StreamReader does.
Result<BootSourcePtr> read(std::span<const std::byte> section, Ram& ram) {
    Input in{section};
    RamReader reader{ram};
    for (bool first = true;; first = false) {
        const Item item{TRY(in.be<std::uint8_t>())};
        TRY(in.skip(sizeof(std::uint32_t)));
        if (first) {
            TRY(in.counted_name());
            TRY(in.skip(2 * sizeof(std::uint32_t)));
            TRY(reader.start(in));
        } else {
            TRY(reader.pages(in));
        }
        TRY(in.skip(1 + sizeof(std::uint32_t)));
        if (item == Item::SectionEnd)
            return reader.take_boot();
    }
}

std::vector<std::byte> ram_without_boot() {
    Ram ram;
    REQUIRE(read(section_with([](RamWriter&) {}), ram).ok());
    return ram.bytes;
}

} // namespace

TEST_CASE("what a guest is booted with lies in front of its RAM", "[boot-pages]") {
    const std::size_t kernel = GENERATE(1, 4096, 5000, 12288);
    const std::size_t initrd = GENERATE(0, 4096, 9000);
    const std::string line = GENERATE(std::string{}, std::string{"quiet"}, std::string(5000, 'x'));
    const BootSource source = source_of(kernel, initrd, line);
    Ram ram;
    const auto read_back = read(section_with(source), ram);
    INFO((read_back.ok() ? "" : read_back.error().text));
    REQUIRE(read_back.ok());
    const BootSourcePtr boot = *read_back;
    REQUIRE(boot != nullptr);
    CHECK(content_of(boot->kernel) == pattern(kernel, 1));
    REQUIRE(boot->initrd.has_value() == (initrd != 0));
    if (initrd != 0)
        CHECK(content_of(*boot->initrd) == pattern(initrd, 2));
    CHECK(boot->command_line == line);
    CHECK(ram.bytes == ram_without_boot());
}

TEST_CASE("a reader that knows nothing of it has the same RAM", "[boot-pages]") {
    // Every record is one of a page, as in migration/ram.c: page 0 is written again and again, RAM's own
    // content last.
    const auto section = section_with(source_of(5000, 5000, "quiet"));
    std::vector<std::byte> ram(kPages * kPageSize, std::byte{0xee});
    Input in{section};
    std::size_t pages = 0;
    const auto skip_head = [&](std::size_t bytes) { REQUIRE(in.skip(bytes).ok()); };
    skip_head(1 + 4 + 1 + kRamSection.size() + 8 + 8 + 1 + kRamBlock.size() + 8 + 8 + 5);
    for (bool end = false; !end;) {
        end = Item{*in.be<std::uint8_t>()} == Item::SectionEnd;
        skip_head(4);
        for (std::uint64_t word = *in.be<std::uint64_t>(); word != ram_flag::kEos;
             word = *in.be<std::uint64_t>()) {
            if ((word & ram_flag::kContinue) == 0)
                REQUIRE(in.counted_name().ok());
            const auto page = std::span{ram}.subspan(word & ~ram_flag::kMask, kPageSize);
            if ((word & ram_flag::kZero) != 0) {
                // Newer QEMUs refuse a page that is filled with anything else.
                REQUIRE(*in.be<std::uint8_t>() == 0);
                std::ranges::fill(page, std::byte{0});
            } else {
                REQUIRE((word & ram_flag::kPage) != 0);
                REQUIRE(in.read(page).ok());
            }
            ++pages;
        }
        skip_head(5);
    }
    CHECK(pages == kPages + 8 + 1 + 2 + 2 + 1);
    CHECK(ram == ram_without_boot());
}

TEST_CASE("RAM that looks like it is RAM all the same", "[boot-pages]") {
    // The header's bytes, which a guest can have in its page 0; the mark in front of it is nothing that a
    // guest can make.
    const auto section = section_with(source_of(100, 0, "x"));
    const auto magic = std::string_view{"GDWTBOOT"};
    const auto header = std::ranges::search(section, std::as_bytes(std::span{magic}));
    REQUIRE_FALSE(header.empty());
    const std::vector<std::byte> page{header.begin(), header.begin() + kPageSize};
    const bool with_zeros = GENERATE(false, true);
    const auto forged = section_with([&](RamWriter& writer) {
        REQUIRE(writer.begin_part().ok());
        for (int i = 0; i < 7; ++i)
            REQUIRE(writer.zero_page(RamOffset{with_zeros ? 0 : static_cast<unsigned>(i) * kPageSize}).ok());
        REQUIRE(writer.page(RamOffset{0}, page).ok());
        REQUIRE(writer.end_part().ok());
    });
    Ram ram;
    const auto boot = read(forged, ram);
    REQUIRE(boot.ok());
    CHECK(*boot == nullptr);
}

TEST_CASE("a mark without the header is RAM", "[boot-pages]") {
    Ram ram;
    const auto boot = read(section_with([&](RamWriter& writer) {
                               REQUIRE(writer.begin_part().ok());
                               for (int i = 0; i < 8; ++i)
                                   REQUIRE(writer.zero_page(RamOffset{0}).ok());
                               REQUIRE(writer.page(RamOffset{0}, pattern(kPageSize, 9)).ok());
                               REQUIRE(writer.end_part().ok());
                           }),
                           ram);
    REQUIRE(boot.ok());
    CHECK(*boot == nullptr);
    CHECK(ram.bytes == ram_without_boot());
}

TEST_CASE("every damaged byte of the header and of what follows is refused or changes nothing",
          "[boot-pages]") {
    const auto whole = section_with(source_of(300, 200, "quiet"));
    const auto magic = std::string_view{"GDWTBOOT"};
    const auto found = std::ranges::search(whole, std::as_bytes(std::span{magic}));
    const auto header = static_cast<std::size_t>(found.begin() - whole.begin());
    constexpr std::size_t kHeaderBytes = 8 + 4 + 3 * 8 + 3 * 4;
    for (std::size_t at = header + 8; at < header + kHeaderBytes; ++at)
        for (const unsigned bit : {0u, 7u}) {
            auto damaged = whole;
            damaged[at] ^= static_cast<std::byte>(1u << bit);
            Ram ram;
            const auto boot = read(damaged, ram);
            INFO("byte " << at - header << " of the header");
            if (at < header + 12) { // another version
                REQUIRE(boot.ok());
                CHECK(*boot == nullptr);
                CHECK(ram.bytes == ram_without_boot());
            } else {
                CHECK_FALSE(boot.ok());
            }
        }
    // The first page of the kernel: a record's word, then its bytes.
    for (const std::size_t at : {std::size_t{0}, std::size_t{150}, std::size_t{299}}) {
        auto damaged = whole;
        damaged[header + kPageSize + 8 + at] ^= std::byte{0x10};
        Ram ram;
        const auto boot = read(damaged, ram);
        REQUIRE_FALSE(boot.ok());
        CHECK(boot.error().text == "the checksum of the kernel does not hold");
    }
}

TEST_CASE("what is missing, too much or among it is an error", "[boot-pages]") {
    const BootSource source = source_of(5000, 0, "quiet");
    const auto whole = section_with(source);
    const auto magic = std::string_view{"GDWTBOOT"};
    const auto found = std::ranges::search(whole, std::as_bytes(std::span{magic}));
    constexpr std::size_t kRecord = 8 + kPageSize;
    const auto header = static_cast<std::ptrdiff_t>(found.begin() - whole.begin());
    const auto kernel = header + static_cast<std::ptrdiff_t>(kPageSize);
    auto changed = whole;
    std::string wanted;
    SECTION("a page less") {
        changed.erase(changed.begin() + kernel + 2 * kRecord, changed.begin() + kernel + 3 * kRecord);
        wanted = "not all of what the guest is booted with is there";
    }
    SECTION("a page more") {
        const std::vector<std::byte> record{changed.begin() + kernel, changed.begin() + kernel + kRecord};
        changed.insert(changed.begin() + kernel + 3 * kRecord, record.begin(), record.end());
        wanted = "goes on behind its end";
    }
    SECTION("another page") {
        changed[static_cast<std::size_t>(kernel) + 6] = std::byte{0x10}; // of the offset
        wanted = "among the pages of what the guest is booted with";
    }
    SECTION("a kernel that is larger than RAM") {
        changed[static_cast<std::size_t>(header) + 8 + 4 + 5] = std::byte{0x10};
        wanted = "kernel of 1053576 bytes, 1 to 65536 can be";
    }
    Ram ram;
    const auto boot = read(changed, ram);
    REQUIRE_FALSE(boot.ok());
    CHECK(boot.error().code == ErrorCode::Corrupt);
    INFO(boot.error().text);
    CHECK(boot.error().text.find(wanted) != std::string::npos);
}

} // namespace godwit::migration::wire
