// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/test_images.h"

#include "vmm/base/address.h"
#include "vmm/base/bytes.h"

#include <algorithm>
#include <elf.h>
#include <lz4hc.h>
#include <lzma.h>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

namespace godwit::boot::test {

namespace {

constexpr std::size_t kSector = 512;

// In a test an image that cannot be made is the test's mistake.
void expect(bool holds) {
    if (!holds)
        throw std::runtime_error{"a test image cannot be made"};
}

template <class T>
void append(ByteWriter& to, const T& value) {
    to.append(std::as_bytes(std::span{&value, 1}));
}

Bytes compress_gzip(std::span<const std::byte> bytes) {
    z_stream stream{};
    expect(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    Bytes out(::deflateBound(&stream, bytes.size()) + 64);
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    expect(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    return out;
}

Bytes compress_xz(std::span<const std::byte> bytes) {
    Bytes out(::lzma_stream_buffer_bound(bytes.size()));
    std::size_t size = 0;
    expect(::lzma_easy_buffer_encode(
               1, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const std::uint8_t*>(bytes.data()),
               bytes.size(), reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size()) == LZMA_OK);
    out.resize(size);
    return out;
}

Bytes compress_zstd(std::span<const std::byte> bytes) {
    Bytes out(::ZSTD_compressBound(bytes.size()));
    const std::size_t size = ::ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
    expect(::ZSTD_isError(size) == 0);
    out.resize(size);
    return out;
}

Bytes compress_lz4(std::span<const std::byte> bytes) {
    constexpr std::size_t kBlock = 8 << 20;
    ByteWriter out;
    out.le(std::uint32_t{0x184c2102});
    while (!bytes.empty()) {
        const auto block = bytes.first(std::min(bytes.size(), kBlock));
        Bytes packed(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(block.size()))));
        const int size = ::LZ4_compress_default(
            reinterpret_cast<const char*>(block.data()), reinterpret_cast<char*>(packed.data()),
            static_cast<int>(block.size()), static_cast<int>(packed.size()));
        expect(size > 0);
        out.le(static_cast<std::uint32_t>(size));
        out.append(std::span{packed}.first(static_cast<std::size_t>(size)));
        bytes = bytes.subspan(block.size());
    }
    return out.take();
}

} // namespace

std::byte text_byte(std::size_t at) {
    return static_cast<std::byte>(at * 7 + 1);
}
std::byte data_byte(std::size_t at) {
    return static_cast<std::byte>(at * 13 + 5);
}
std::byte stub_byte(std::size_t at) {
    return static_cast<std::byte>(at * 11 + 3);
}

Bytes make_elf(const ElfShape& shape) {
    ByteWriter note;
    note.le(std::uint32_t{4});
    note.le(std::uint32_t{shape.wide_note ? 8u : 4u});
    note.le(std::uint32_t{shape.pvh_entry ? 18u : 17u});
    note.append(std::string_view{"Xen\0", 4});
    if (shape.wide_note)
        note.le(shape.pvh_entry.value_or(1));
    else
        note.le(static_cast<std::uint32_t>(shape.pvh_entry.value_or(1)));

    const std::size_t note_at = kElfProgramHeaders + 3 * kElfProgramHeaderSize;
    const std::size_t text_at = 0x1000;
    const std::size_t data_at = text_at + shape.text_size;

    Elf64_Ehdr header{};
    std::copy_n(ELFMAG, SELFMAG, header.e_ident);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_entry = shape.entry;
    header.e_phoff = kElfProgramHeaders;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 3;

    ByteWriter file;
    append(file, header);
    append(file, Elf64_Phdr{PT_LOAD, PF_R | PF_X, text_at, ~shape.text_address, shape.text_address,
                            shape.text_size, shape.text_size, 1});
    append(file, Elf64_Phdr{PT_LOAD, PF_R | PF_W, data_at, ~shape.data_address, shape.data_address,
                            shape.data_size, shape.data_size + shape.zeros, 1});
    append(file, Elf64_Phdr{PT_NOTE, PF_R, note_at, 0, 0, note.size(), note.size(), 4});
    file.append(note.bytes());
    file.zeros(text_at - file.size());
    for (std::size_t i = 0; i < shape.text_size; ++i)
        append(file, text_byte(i));
    for (std::size_t i = 0; i < shape.data_size; ++i)
        append(file, data_byte(i));
    return file.take();
}

Bytes make_bzimage(std::span<const std::byte> payload, const BzShape& shape) {
    constexpr std::size_t kSetupSectors = 3;
    const std::size_t kernel_at = (kSetupSectors + 1) * kSector;
    const std::size_t kernel_size = align_up(shape.stub_size + payload.size(), 16);
    Bytes file(kernel_at + kernel_size);
    const auto set = [&](std::size_t at, auto value) { store_le(std::span{file}.subspan(at), value); };
    set(0x1f1, std::uint8_t{kSetupSectors});
    set(0x1f4, static_cast<std::uint32_t>(kernel_size / 16));
    set(0x1fe, std::uint16_t{0xaa55});
    set(0x200, std::uint8_t{0xeb});
    set(0x201, std::uint8_t{0x6a});
    set(0x202, std::uint32_t{0x53726448});
    set(0x206, shape.version);
    set(0x211, std::uint8_t{0x81});
    set(0x22c, shape.initrd_address_max);
    set(0x236, shape.xloadflags);
    set(0x238, shape.command_line_size);
    set(0x248, static_cast<std::uint32_t>(shape.stub_size));
    set(0x24c, static_cast<std::uint32_t>(payload.size()));
    set(0x258, shape.pref_address);
    set(0x260, shape.init_size);
    for (std::size_t i = 0; i < shape.stub_size; ++i)
        file[kernel_at + i] = stub_byte(i);
    std::ranges::copy(payload, file.begin() + static_cast<std::ptrdiff_t>(kernel_at + shape.stub_size));
    return file;
}

Bytes compress(Compression compression, std::span<const std::byte> bytes) {
    if (compression == Compression::Gzip)
        return compress_gzip(bytes); // its trailer is the size
    Bytes out = compression == Compression::Xz     ? compress_xz(bytes)
                : compression == Compression::Zstd ? compress_zstd(bytes)
                                                   : compress_lz4(bytes);
    out.resize(out.size() + 4);
    store_le(std::span{out}.last(4), static_cast<std::uint32_t>(bytes.size()));
    return out;
}

TempFile::TempFile(std::span<const std::byte> bytes)
    : file_(Fd::adopt(::memfd_create("image", MFD_CLOEXEC))) {
    expect(bool{file_});
    path_ = fmt::format("/proc/self/fd/{}", file_.get());
    replace(bytes);
}

void TempFile::replace(std::span<const std::byte> bytes) const {
    expect(::ftruncate(file_.get(), 0) == 0);
    expect(::pwrite(file_.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
}

} // namespace godwit::boot::test
