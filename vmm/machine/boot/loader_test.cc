// SPDX-License-Identifier: Apache-2.0
//
// Good images: what ends up where in guest memory, and how the kernel is entered.
#include "vmm/machine/boot/loader.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/boot/layout.h"
#include "vmm/machine/boot/memory_map.h"
#include "vmm/machine/boot/test_images.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace godwit::boot {

using namespace test;

namespace {

constexpr Gpa kRsdp{0xe0000};
const std::vector<E820Entry> kReservations{{kRsdp, 0x2000, E820Type::AcpiReclaimable}};

std::unique_ptr<GuestMemory> ram(std::uint64_t size) {
    auto memory = GuestMemory::create(size, board::kLowRamLimit);
    REQUIRE(memory.ok());
    return std::move(memory).value();
}

LoadedKernel load(const BootFiles& files, GuestMemory& memory) {
    auto source = read_files(files, memory.size());
    INFO((source.ok() ? "" : source.error().text));
    REQUIRE(source.ok());
    auto prepared = prepare(std::move(source).value());
    INFO((prepared.ok() ? "" : prepared.error().text));
    REQUIRE(prepared.ok());
    auto loaded = prepared->place(memory, {kRsdp, kReservations});
    INFO((loaded.ok() ? "" : loaded.error().text));
    REQUIRE(loaded.ok());
    return std::move(loaded).value();
}

Bytes bytes_at(const GuestMemory& memory, Gpa at, std::size_t size) {
    Bytes bytes(size);
    REQUIRE(memory.read(at, bytes).ok());
    return bytes;
}

template <class T>
T value_at(const GuestMemory& memory, std::uint64_t at) {
    auto value = memory.read<T>(Gpa{at});
    REQUIRE(value.ok());
    return value.value();
}

std::string text_at(const GuestMemory& memory, std::uint64_t at) {
    std::string text;
    while (const char c = value_at<char>(memory, at++))
        text += c;
    return text;
}

void check_segments(const GuestMemory& memory, const ElfShape& shape = {}) {
    const Bytes text = bytes_at(memory, Gpa{shape.text_address}, shape.text_size);
    const Bytes data = bytes_at(memory, Gpa{shape.data_address}, shape.data_size + shape.zeros);
    bool same = true;
    for (std::size_t i = 0; i < text.size(); ++i)
        same = same && text[i] == text_byte(i);
    for (std::size_t i = 0; i < data.size(); ++i)
        same = same && data[i] == (i < shape.data_size ? data_byte(i) : std::byte{0});
    CHECK(same);
}

} // namespace

TEST_CASE("an ELF kernel with a PVH note gets a start info", "[boot]") {
    const bool wide = GENERATE(false, true);
    const TempFile kernel{make_elf({.wide_note = wide})};
    Bytes initrd_bytes(5000);
    std::ranges::fill(initrd_bytes, std::byte{0x5a});
    const TempFile initrd{initrd_bytes};
    const auto memory = ram(64 << 20);
    const LoadedKernel loaded = load({kernel.path(), initrd.path(), "console=ttyS0 quiet"}, *memory);

    CHECK(loaded.entry.kind == EntryKind::Pvh);
    CHECK(loaded.entry.rip == 0x100000);
    CHECK(loaded.entry.cr0 == 0x11);
    CHECK(loaded.entry.cr4 == 0);
    CHECK(loaded.entry.efer == 0);
    CHECK(loaded.kernel_base == Gpa{0x100000});
    CHECK(loaded.kernel_size == 0x100000 + 5000 + 0x3000);
    check_segments(*memory);

    const std::uint64_t info = loaded.entry.rbx;
    CHECK(value_at<std::uint32_t>(*memory, info) == 0x336ec578);
    CHECK(value_at<std::uint32_t>(*memory, info + 4) == 1);
    CHECK(value_at<std::uint32_t>(*memory, info + 12) == 1);
    CHECK(text_at(*memory, value_at<std::uint64_t>(*memory, info + 24)) == "console=ttyS0 quiet");
    CHECK(value_at<std::uint64_t>(*memory, info + 32) == kRsdp.value);

    const auto modules = value_at<std::uint64_t>(*memory, info + 16);
    const auto initrd_at = value_at<std::uint64_t>(*memory, modules);
    CHECK(value_at<std::uint64_t>(*memory, modules + 8) == 5000);
    CHECK(initrd_at == (64 << 20) - 2 * kPageSize); // as high as it goes
    CHECK(bytes_at(*memory, Gpa{initrd_at}, 5000) == initrd_bytes);
    REQUIRE(loaded.initrd);
    CHECK(loaded.initrd->base.value == initrd_at);

    const auto map = make_memory_map(memory->regions(), kReservations);
    REQUIRE(map.ok());
    const auto map_at = value_at<std::uint64_t>(*memory, info + 40);
    REQUIRE(value_at<std::uint32_t>(*memory, info + 48) == map.value().size());
    for (std::size_t i = 0; i < map.value().size(); ++i) {
        CHECK(value_at<std::uint64_t>(*memory, map_at + 24 * i) == map.value()[i].base.value);
        CHECK(value_at<std::uint64_t>(*memory, map_at + 24 * i + 8) == map.value()[i].size);
        CHECK(value_at<E820Type>(*memory, map_at + 24 * i + 16) == map.value()[i].type);
    }
}

TEST_CASE("without an initrd there is no module", "[boot]") {
    const TempFile kernel{make_elf()};
    const auto memory = ram(64 << 20);
    const LoadedKernel loaded = load({kernel.path(), {}, ""}, *memory);
    CHECK_FALSE(loaded.initrd);
    CHECK(value_at<std::uint32_t>(*memory, loaded.entry.rbx + 12) == 0);
    CHECK(value_at<std::uint64_t>(*memory, loaded.entry.rbx + 16) == 0);
}

TEST_CASE("an ELF kernel without the note is entered in long mode", "[boot]") {
    const TempFile kernel{make_elf({.pvh_entry = std::nullopt})};
    const auto memory = ram(64 << 20);
    const LoadedKernel loaded = load({kernel.path(), {}, "a b"}, *memory);
    const EntryState& entry = loaded.entry;
    CHECK(entry.kind == EntryKind::Linux64);
    CHECK(entry.rip == 0x100010);
    CHECK(entry.cr0 == 0x80000011);
    CHECK(entry.cr4 == 0x20);
    CHECK(entry.efer == 0x500);
    CHECK(entry.code.selector == 0x10);
    CHECK(entry.data.selector == 0x18);
    CHECK(entry.code.long_mode);
    check_segments(*memory);

    const std::uint64_t page = entry.rsi;
    CHECK(value_at<std::uint32_t>(*memory, page + 0x202) == 0x53726448);
    CHECK(value_at<std::uint16_t>(*memory, page + 0x206) == 0x20c);
    CHECK(value_at<std::uint8_t>(*memory, page + 0x210) == 0xff);
    CHECK(text_at(*memory, value_at<std::uint32_t>(*memory, page + 0x228)) == "a b");
    CHECK(value_at<std::uint64_t>(*memory, page + 0x70) == kRsdp.value);
    CHECK(value_at<std::uint32_t>(*memory, page + 0x21c) == 0);

    const auto map = make_memory_map(memory->regions(), kReservations);
    REQUIRE(value_at<std::uint8_t>(*memory, page + 0x1e8) == map.value().size());
    CHECK(value_at<std::uint64_t>(*memory, page + 0x2d0 + 20) == map.value()[1].base.value);
    CHECK(value_at<E820Type>(*memory, page + 0x2d0 + 20 + 16) == map.value()[1].type);
}

TEST_CASE("the page tables map the first 4 GiB to themselves", "[boot]") {
    const TempFile kernel{make_elf({.pvh_entry = std::nullopt})};
    const auto memory = ram(64 << 20);
    const EntryState entry = load({kernel.path(), {}, ""}, *memory).entry;
    for (const std::uint64_t address :
         {0x0ul, 0x1ffffful, 0x100000ul, 0x3fe00000ul, 0xc0000000ul, 0xfffffffful}) {
        std::uint64_t table = entry.cr3;
        for (const unsigned shift : {39u, 30u, 21u}) {
            const auto item = value_at<std::uint64_t>(*memory, table + (address >> shift & 511) * 8);
            REQUIRE((item & 3) == 3);
            CHECK(((item & 0x80) != 0) == (shift == 21));
            table = item & ~std::uint64_t{0xfff};
        }
        CHECK((table | (address & 0x1fffff)) == address);
    }
    CHECK(value_at<std::uint64_t>(*memory, entry.cr3 + 8) == 0);
}

TEST_CASE("the descriptor table says what the segment registers hold", "[boot]") {
    for (const bool pvh : {true, false}) {
        const TempFile kernel{
            make_elf({.pvh_entry = pvh ? std::optional<std::uint64_t>{0x100000} : std::nullopt})};
        const auto memory = ram(64 << 20);
        const EntryState entry = load({kernel.path(), {}, ""}, *memory).entry;
        const std::uint64_t gdt = entry.gdt_base.value;
        CHECK(value_at<std::uint64_t>(*memory, gdt) == 0);
        CHECK(value_at<std::uint64_t>(*memory, gdt + entry.code.selector) ==
              (pvh ? 0x00cf9b000000ffff : 0x00af9b000000ffff));
        CHECK(value_at<std::uint64_t>(*memory, gdt + entry.data.selector) == 0x00cf93000000ffff);
        CHECK(value_at<std::uint64_t>(*memory, gdt + entry.task.selector) ==
              (0x00008b0000000067 | kTaskSegment.value << 16));
        CHECK(value_at<std::uint64_t>(*memory, gdt + entry.task.selector + 8) == 0);
        CHECK(entry.gdt_limit + 1u >= entry.task.selector + 16u);
    }
}

TEST_CASE("a bzImage is unpacked and entered as ELF", "[boot]") {
    for (const Compression compression :
         {Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Lz4})
        for (const bool pvh : {true, false}) {
            const Bytes elf =
                make_elf({.pvh_entry = pvh ? std::optional<std::uint64_t>{0x100000} : std::nullopt});
            const TempFile kernel{make_bzimage(compress(compression, elf))};
            const auto memory = ram(64 << 20);
            const LoadedKernel loaded = load({kernel.path(), {}, "x"}, *memory);
            CHECK(loaded.entry.kind == (pvh ? EntryKind::Pvh : EntryKind::Linux64));
            CHECK(loaded.entry.rip == (pvh ? 0x100000 : 0x100010));
            check_segments(*memory);
        }
}

TEST_CASE("a bzImage that we cannot unpack unpacks itself", "[boot]") {
    const bool not_an_elf = GENERATE(false, true);
    Bytes payload(3000, std::byte{0x42});
    if (not_an_elf)
        payload = compress(Compression::Gzip, payload);
    const TempFile kernel{make_bzimage(payload)};
    const TempFile initrd{Bytes(100)};
    const auto memory = ram(64 << 20);
    const LoadedKernel loaded = load({kernel.path(), initrd.path(), "x"}, *memory);
    CHECK(loaded.entry.kind == EntryKind::Linux64);
    CHECK(loaded.entry.rip == 0x1000200);
    CHECK(loaded.kernel_size == 0x100000);
    for (const std::size_t at : {0u, 0x200u, 0x3ffu})
        CHECK(value_at<std::byte>(*memory, 0x1000000 + at) == stub_byte(at));
    CHECK(bytes_at(*memory, Gpa{0x1000400}, payload.size()) == payload);
    // The setup header is the file's, with our answers filled in.
    const std::uint64_t page = loaded.entry.rsi;
    CHECK(value_at<std::uint64_t>(*memory, page + 0x258) == 0x1000000);
    CHECK(value_at<std::uint8_t>(*memory, page + 0x211) == 0x01);
    CHECK(value_at<std::uint32_t>(*memory, page + 0x218) == loaded.initrd->base.value);
    CHECK(value_at<std::uint32_t>(*memory, page + 0x21c) == 100);
}

TEST_CASE("the initrd stays below what the header allows", "[boot]") {
    const TempFile kernel{
        make_bzimage(compress(Compression::Lz4, make_elf()), {.initrd_address_max = 0x2ffffff})};
    const TempFile initrd{Bytes(4097)};
    const auto memory = ram(64 << 20);
    const LoadedKernel loaded = load({kernel.path(), initrd.path(), ""}, *memory);
    CHECK(loaded.initrd->base == Gpa{0x3000000 - 2 * kPageSize});
}

TEST_CASE("preparing in the background gives the same", "[boot]") {
    const TempFile kernel{make_bzimage(compress(Compression::Zstd, make_elf()))};
    auto future = prepare_in_background({kernel.path(), {}, ""}, 64 << 20);
    auto prepared = future.get();
    REQUIRE(prepared.ok());
    CHECK(prepared->kind() == EntryKind::Pvh);
    const auto memory = ram(64 << 20);
    CHECK(prepared->place(*memory, {kRsdp, kReservations}).ok());
    check_segments(*memory);
}

TEST_CASE("what was read boots again, whatever becomes of the files", "[boot]") {
    const TempFile kernel{make_bzimage(compress(Compression::Lz4, make_elf()))};
    const TempFile initrd{Bytes(5000, std::byte{0x5a})};
    const auto source = read_files({kernel.path(), initrd.path(), "x"}, 64 << 20);
    REQUIRE(source.ok());
    kernel.replace(Bytes(100));
    initrd.replace(Bytes(6000, std::byte{0xa5}));
    for (int boot = 0; boot < 2; ++boot) {
        const auto memory = ram(64 << 20);
        const auto prepared = prepare(*source);
        REQUIRE(prepared.ok());
        const auto loaded = prepared->place(*memory, {kRsdp, kReservations});
        REQUIRE(loaded.ok());
        check_segments(*memory);
        REQUIRE(loaded->initrd);
        CHECK(bytes_at(*memory, loaded->initrd->base, 5000) == Bytes(5000, std::byte{0x5a}));
    }
}

TEST_CASE("what does not boot is not kept", "[boot]") {
    Bytes elf = make_elf();
    const std::size_t needed = elf.size();
    elf.resize(needed + 100'000); // symbols, say
    const TempFile kernel{elf};
    const auto source = read_files({kernel.path(), {}, ""}, 64 << 20);
    REQUIRE(source.ok());
    CHECK((*source)->kernel.size() == needed);
    const auto prepared = prepare(*source);
    REQUIRE(prepared.ok());
    const auto memory = ram(64 << 20);
    CHECK(prepared->place(*memory, {kRsdp, kReservations}).ok());
    check_segments(*memory);
}

TEST_CASE("who jumps to the BIOS finds code that resets the machine", "[boot]") {
    const TempFile kernel{make_elf()};
    const auto memory = ram(64 << 20);
    load({kernel.path(), {}, ""}, *memory);
    // mov dx, 0xcf9; mov al, 6; out dx, al; again: hlt; jmp again
    std::uint64_t at = kResetVector.value;
    for (const unsigned byte : {0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd}) {
        CHECK(value_at<std::uint8_t>(*memory, at++) == byte);
    }
}

TEST_CASE("what is placed is marked dirty", "[boot]") {
    const TempFile kernel{make_elf()};
    const auto memory = ram(64 << 20);
    memory->dirty().start();
    load({kernel.path(), {}, ""}, *memory);
    std::vector<std::uint64_t> words(memory->dirty().word_count());
    memory->dirty().harvest_into(words);
    const auto dirty = [&](std::uint64_t gpa) { return (words[gpa >> 18] >> (gpa >> 12 & 63) & 1) != 0; };
    CHECK(dirty(kStartInfo.value));
    CHECK(dirty(kGdt.value));
    CHECK(dirty(kCommandLine.value));
    CHECK(dirty(0x100000));
    CHECK(dirty(0x200000));
    CHECK_FALSE(dirty(0x300000));
}

TEST_CASE("of an unpacked image only pages of zeros are left out", "[boot]") {
    constexpr std::size_t kSize = 3 * kPageSize + 10;
    auto mapping = Mapping::anonymous(kSize);
    REQUIRE(mapping.ok());
    const std::span<std::byte> bytes = mapping->bytes();
    bytes[kPageSize - 1] = std::byte{1}; // page 0 ends with it, page 1 is zero, page 2 starts with it
    bytes[2 * kPageSize] = std::byte{2};
    bytes[kSize - 1] = std::byte{3};
    const Bytes original(bytes.begin(), bytes.end());
    const Image image{std::move(mapping).value()};

    const auto memory = ram(1 << 20);
    memory->dirty().start();
    REQUIRE(image.load(0, kSize, *memory, Gpa{0}, "part").ok());
    CHECK(bytes_at(*memory, Gpa{0}, kSize) == original);
    std::vector<std::uint64_t> words(memory->dirty().word_count());
    memory->dirty().harvest_into(words);
    CHECK(words[0] == 0b1101);
    CHECK_FALSE(image.load(1, kSize, *memory, Gpa{0}, "part").ok());
}

TEST_CASE("the memory map covers RAM once and leaves out what is not the guest's", "[boot]") {
    const std::uint64_t gib = std::uint64_t{1} << 30;
    const std::vector<RamRegion> regions{{Gpa{0}, 3 * gib, RamOffset{0}},
                                         {Gpa{4 * gib}, gib, RamOffset{3 * gib}}};
    const auto result = make_memory_map(regions, kReservations);
    REQUIRE(result.ok());
    const std::vector<E820Entry> expected{
        {Gpa{0}, 0xa0000, E820Type::Ram},
        {kRsdp, 0x2000, E820Type::AcpiReclaimable},
        {Gpa{0xf0000}, 0x10000, E820Type::Reserved},
        {Gpa{0x100000}, 3 * gib - 0x100000, E820Type::Ram},
        {Gpa{0xe0000000}, 0x10000000, E820Type::Reserved},
        {Gpa{0xfeffc000}, 0x4000, E820Type::Reserved},
        {Gpa{4 * gib}, gib, E820Type::Ram},
    };
    CHECK(result.value() == expected);

    const std::vector<E820Entry> inside{{Gpa{0x200000}, 0x1000, E820Type::Reserved}};
    const auto split = make_memory_map(regions, inside);
    REQUIRE(split.ok());
    CHECK(std::ranges::find(split.value(), E820Entry{Gpa{0x201000}, 3 * gib - 0x201000, E820Type::Ram}) !=
          split.value().end());
    const std::vector<E820Entry> twice{inside[0], inside[0]};
    CHECK_FALSE(make_memory_map(regions, twice).ok());
    CHECK_FALSE(
        make_memory_map(regions, std::vector<E820Entry>(200, {Gpa{0x200000}, 0, E820Type::Reserved})).ok());
}

} // namespace godwit::boot
