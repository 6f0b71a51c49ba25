// SPDX-License-Identifier: Apache-2.0
//
// Bad images: every error says what is wrong, and no image makes the loader crash.
#include "vmm/base/bytes.h"
#include "vmm/machine/boot/layout.h"
#include "vmm/machine/boot/loader.h"
#include "vmm/machine/boot/test_images.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sys/stat.h>

namespace godwit::boot {

using namespace test;

namespace {

// Thousands of attempts share their memory, which spares the system clearing it: here nobody looks at what
// was loaded.
GuestMemory& shared_ram(std::uint64_t size) {
    static std::map<std::uint64_t, std::unique_ptr<GuestMemory>> cache;
    auto& memory = cache[size];
    if (!memory) {
        auto created = GuestMemory::create(size, board::kLowRamLimit);
        REQUIRE(created.ok());
        memory = std::move(created).value();
    }
    return *memory;
}

Result<PreparedKernel> read_and_prepare(const BootFiles& files, std::uint64_t ram = 16 << 20) {
    return prepare(TRY(read_files(files, ram)));
}

// read, prepare and place; the error's text, empty when it worked.
std::string attempt(const BootFiles& files, std::uint64_t ram = 16 << 20) {
    const auto prepared = read_and_prepare(files, ram);
    if (!prepared.ok()) {
        CHECK(prepared.error().code != ErrorCode::Internal);
        return prepared.error().text;
    }
    const auto loaded = prepared.value().place(shared_ram(ram), {Gpa{0xe0000}, {}});
    if (loaded.ok())
        return {};
    CHECK(loaded.error().code == ErrorCode::InvalidInput);
    return loaded.error().text;
}

std::string attempt(const Bytes& kernel, std::uint64_t ram = 16 << 20) {
    const TempFile file{kernel};
    const std::string text = attempt(BootFiles{file.path(), {}, ""}, ram);
    if (!text.empty())
        CHECK(text.find(file.path()) != std::string::npos);
    return text;
}

void expect(const std::string& text, std::string_view part) {
    INFO("text: '" << text << "' wanted: '" << part << "'");
    CHECK(text.find(part) != std::string::npos);
}

template <class T>
Bytes patched(Bytes bytes, std::size_t at, T value) {
    store_le(std::span{bytes}.subspan(at), value);
    return bytes;
}

constexpr std::size_t kText = kElfProgramHeaders;
constexpr std::size_t kData = kElfProgramHeaders + kElfProgramHeaderSize;
constexpr std::size_t kNote = kElfProgramHeaders + 2 * kElfProgramHeaderSize;
constexpr std::size_t kNoteBytes = kElfProgramHeaders + 3 * kElfProgramHeaderSize;
constexpr std::size_t kOffset = 8, kAddress = 24, kFileSize = 32, kMemorySize = 40; // in a program header

Bytes packed_bzimage(const BzShape& shape = {}) {
    return make_bzimage(compress(Compression::Lz4, make_elf()), shape);
}
Bytes opaque_bzimage(const BzShape& shape = {}) {
    return make_bzimage(Bytes(100, std::byte{0x42}), shape);
}

} // namespace

TEST_CASE("files that are no kernel are refused by name", "[boot]") {
    expect(attempt({"/nonexistent/kernel", {}, ""}), "'/nonexistent/kernel': No such file");
    expect(attempt({"/tmp", {}, ""}), "'/tmp' is not a regular file");
    expect(attempt(Bytes{}), "is empty");
    expect(attempt(Bytes(1)), "starts with 00");
    expect(attempt(Bytes(5000, std::byte{0x7f})),
           "neither an ELF file nor a bzImage (starts with 7f 7f 7f 7f)");

    std::string folder = (std::filesystem::temp_directory_path() / "godwit-boot-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    const std::string fifo = folder + "/fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    expect(attempt({fifo, {}, ""}), "is not a regular file");
    std::filesystem::remove_all(folder);
}

TEST_CASE("ELF headers are checked", "[boot]") {
    const Bytes elf = make_elf();
    REQUIRE(attempt(elf).empty());
    expect(attempt(patched(elf, 4, std::uint8_t{1})), "not a 64-bit");
    expect(attempt(patched(elf, 5, std::uint8_t{2})), "not a 64-bit");
    expect(attempt(patched(elf, 16, std::uint16_t{3})), "not an executable");
    expect(attempt(patched(elf, 18, std::uint16_t{183})), "machine 183");
    expect(attempt(patched(elf, 54, std::uint16_t{32})), "program headers of 32 bytes");
    expect(attempt(patched(elf, 56, std::uint16_t{0})), "0 ELF program headers");
    expect(attempt(patched(elf, 56, std::uint16_t{0xffff})), "65535 ELF program headers");
    expect(attempt(patched(elf, 32, ~std::uint64_t{0})), "truncated: the program headers");
    Bytes nothing = patched(elf, kText, std::uint32_t{0});
    expect(attempt(patched(nothing, kData, std::uint32_t{0})), "without a segment");
}

TEST_CASE("ELF segments are checked", "[boot]") {
    const Bytes elf = make_elf();
    expect(attempt(patched(elf, kText + kMemorySize, std::uint64_t{1})), "segment 0 has");
    expect(attempt(patched(elf, kData + kMemorySize, ~std::uint64_t{0})), "wraps around");
    expect(attempt(patched(elf, kData + kOffset, ~std::uint64_t{0})), "truncated: segment 1");
    expect(attempt(patched(elf, kData + kOffset, elf.size() - 100)), "truncated: segment 1");
    expect(attempt(patched(elf, kData + kAddress, std::uint64_t{0x101000})), "overlap at gpa:0x101000");
    expect(attempt(patched(elf, kData + kAddress, std::uint64_t{0x1000})), "0x0 to 0x20000 is not free");
    expect(attempt(patched(elf, kData + kAddress, std::uint64_t{0x9e000})),
           "0xa0000 to 0x100000 is not free");
    expect(attempt(patched(elf, kData + kAddress, std::uint64_t{0x20000})), ""); // that is
    CHECK(attempt(patched(elf, kData + kAddress, std::uint64_t{0x20000})).empty());
}

TEST_CASE("a kernel must fit into RAM", "[boot]") {
    const Bytes elf = make_elf();
    expect(attempt(patched(elf, kData + kMemorySize, std::uint64_t{0x2000000})),
           "it does not fit in RAM: it needs 0x100000 to 0x2200000");
    expect(attempt(patched(elf, kData + kAddress, std::uint64_t{1} << 32), std::uint64_t{4} << 30),
           "ends at 0xc0000000");
    expect(attempt(elf, 0x80000), "at least");
    const std::uint64_t end = 0x200000 + 5000 + 0x3000;
    CHECK(attempt(elf, align_up(end, kPageSize)).empty());
    expect(attempt(elf, align_up(end, kPageSize) - kPageSize), "does not fit");
    expect(attempt(opaque_bzimage({.pref_address = ~std::uint64_t{0} - 4096})), "does not fit");
    expect(attempt(opaque_bzimage({.init_size = 0xffffffff})), "does not fit");
    expect(attempt(opaque_bzimage({.pref_address = 0x1000})), "is not free");
}

TEST_CASE("there must be an entry", "[boot]") {
    expect(attempt(make_elf({.entry = 0xffffffff81000000, .pvh_entry = std::nullopt})), "no PVH note");
    CHECK(attempt(make_elf({.entry = 0xffffffff81000000})).empty());
    expect(attempt(make_elf({.pvh_entry = 0x300000})), "the PVH entry 0x300000 is in no segment");
    expect(attempt(make_elf({.pvh_entry = 0x1'00100000, .wide_note = true})), "is in no segment");
    const Bytes elf = make_elf();
    expect(attempt(patched(elf, kNoteBytes + 4, std::uint32_t{2})), "the PVH note has 2 bytes");
    expect(attempt(patched(elf, kNoteBytes, std::uint32_t{0xffffffff})), "ELF notes: truncated");
    expect(attempt(patched(elf, kNoteBytes + 4, std::uint32_t{0xffffffff})), "ELF notes: truncated");
    expect(attempt(patched(elf, kNote + kFileSize, std::uint64_t{2} << 20)), "bytes of ELF notes");
    expect(attempt(patched(elf, kNote + kOffset, std::uint64_t{1} << 40)), "truncated: the notes");
}

TEST_CASE("setup headers are checked", "[boot]") {
    const Bytes image = packed_bzimage();
    REQUIRE(attempt(image).empty());
    expect(attempt(patched(image, 0x1fe, std::uint16_t{0})), "boot flag");
    expect(attempt(patched(image, 0x206, std::uint16_t{0x0207})), "boot protocol 2.07");
    expect(attempt(patched(image, 0x201, std::uint8_t{0x20})), "setup header ends");
    expect(attempt(patched(image, 0x201, std::uint8_t{0xff})), "setup header ends");
    expect(attempt(patched(image, 0x211, std::uint8_t{0})), "zImage");
    expect(attempt(patched(image, 0x1f4, std::uint32_t{0xffffffff})), "truncated: the protected-mode part");
    expect(attempt(patched(image, 0x1f1, std::uint8_t{255})), "truncated: the setup part");
    expect(attempt(patched(image, 0x248, std::uint32_t{0xffffffff})), "truncated: the compressed kernel");
    expect(attempt(patched(image, 0x24c, std::uint32_t{0xffffffff})), "truncated: the compressed kernel");
}

TEST_CASE("compressed kernels are checked", "[boot]") {
    expect(attempt(opaque_bzimage({.xloadflags = 0})),
           "unknown compression (it starts with 42 42 42 42 42 42)");
    expect(attempt(make_bzimage({}, {.xloadflags = 0})), "without a compressed kernel");
    expect(attempt(make_bzimage(compress(Compression::Gzip, Bytes(100)), {.xloadflags = 0})),
           "not an ELF file (starts with 00");
    Bytes payload = compress(Compression::Zstd, make_elf());
    payload[payload.size() / 2] ^= std::byte{0xff};
    payload[payload.size() - 1] = std::byte{0x01};
    expect(attempt(make_bzimage(payload)), "its compressed kernel: zstd data");
    expect(attempt(make_bzimage(compress(Compression::Lz4, make_elf({.pvh_entry = 0x300000})))),
           "its compressed kernel: the PVH entry");
}

TEST_CASE("the command line has a limit", "[boot]") {
    const TempFile elf{make_elf()};
    CHECK(attempt({elf.path(), {}, std::string(2047, 'x')}).empty());
    expect(attempt({elf.path(), {}, std::string(2048, 'x')}), "takes at most 2047");
    expect(attempt({elf.path(), {}, std::string("a\0b", 3)}), "zero byte");
    const TempFile small{packed_bzimage({.command_line_size = 100})};
    expect(attempt({small.path(), {}, std::string(101, 'x')}), "takes at most 100");
    const TempFile large{packed_bzimage({.command_line_size = 0xffffffff})};
    CHECK(attempt({large.path(), {}, std::string(65535, 'x')}).empty());
    expect(attempt({large.path(), {}, std::string(65536, 'x')}), "takes at most 65535");
}

TEST_CASE("the initrd must be there and fit", "[boot]") {
    const TempFile elf{make_elf()};
    expect(attempt({elf.path(), "/nonexistent/initrd", ""}), "initrd: open '/nonexistent/initrd'");
    const TempFile empty{Bytes{}};
    expect(attempt({elf.path(), empty.path(), ""}), "is empty");
    const TempFile larger_than_ram{Bytes((16 << 20) + 1)};
    expect(attempt({elf.path(), larger_than_ram.path(), ""}),
           "16777217 bytes do not fit in the 16777216 bytes of RAM");
    const TempFile large{Bytes(14 << 20)};
    expect(attempt({elf.path(), large.path(), ""}), "do not fit in RAM between");
    CHECK(attempt({elf.path(), large.path(), ""}, 32 << 20).empty());
    const TempFile low{packed_bzimage({.initrd_address_max = 0x1fffff})};
    const TempFile small{Bytes(100)};
    expect(attempt({low.path(), small.path(), ""}), "do not fit in RAM between");
}

TEST_CASE("a file that shrinks after it was checked is an error", "[boot]") {
    const TempFile file{make_elf()};
    const auto image = Image::open(file.path());
    REQUIRE(image.ok());
    const Bytes elf = make_elf();
    file.replace(std::span{elf}.first(0x1800));
    const auto kept = image->keep(elf.size(), "kernel");
    REQUIRE_FALSE(kept.ok());
    expect(kept.error().text, "truncated while it was read");
}

TEST_CASE("every truncation of an image is an error", "[boot]") {
    for (const Bytes& image :
         {make_elf({.text_size = 200, .data_size = 100}), packed_bzimage(), opaque_bzimage()}) {
        const TempFile file{image};
        // The last paragraph of a bzImage may be missing: its size is rounded up.
        for (std::size_t length = 0; length + 16 < image.size(); length += length < 0x300 ? 1 : 97) {
            file.replace(std::span{image}.first(length));
            INFO(length);
            CHECK_FALSE(attempt(BootFiles{file.path(), {}, ""}).empty());
        }
    }
}

TEST_CASE("no header byte makes the loader crash", "[boot]") {
    struct Target {
        Bytes image;
        std::size_t begin;
        std::size_t end;
    };
    const std::array targets{
        Target{make_elf({.text_size = 200, .data_size = 100}), 0, kNoteBytes + 20},
        Target{packed_bzimage(), 0x1f1, 0x290},
        Target{opaque_bzimage(), 0x1f1, 0x290},
    };
    for (const Target& target : targets) {
        const TempFile file{target.image};
        for (std::size_t at = target.begin; at < target.end; ++at)
            for (const auto value :
                 {std::byte{0x00}, std::byte{0x01}, std::byte{0x7f}, std::byte{0x80}, std::byte{0xff}}) {
                Bytes damaged = target.image;
                damaged[at] = value;
                file.replace(damaged);
                attempt(BootFiles{file.path(), {}, ""}); // its own checks are the test
            }
        // Pairs of bytes that work together: sizes and offsets near the ends of their ranges.
        for (std::size_t at = target.begin; at + 8 <= target.end; ++at)
            for (const std::uint64_t value :
                 {~std::uint64_t{0}, ~std::uint64_t{0} >> 1, std::uint64_t{1} << 63,
                  std::uint64_t{0xffffffff}, std::uint64_t{0xfffff000}}) {
                file.replace(patched(target.image, at, value));
                attempt(BootFiles{file.path(), {}, ""});
            }
    }
}

} // namespace godwit::boot
