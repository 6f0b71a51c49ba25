// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/elf_kernel.h"

#include "vmm/base/bytes.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <elf.h>
#include <string_view>

namespace godwit::boot {

namespace {

constexpr std::size_t kMaxSegments = 128;
constexpr std::uint64_t kMaxNotes = 1 << 20;
constexpr std::uint32_t kPhys32Entry = 18; // XEN_ELFNOTE_PHYS32_ENTRY
constexpr std::string_view kXen{"Xen\0", 4};

template <class T>
Result<T> read_struct(const Image& image, std::uint64_t offset, std::string_view part) {
    T value;
    TRY(image.read(offset, std::as_writable_bytes(std::span{&value, 1}), part));
    return value;
}

Status check_header(const Elf64_Ehdr& header) {
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
        return invalid_input("not a 64-bit little-endian ELF file");
    if (header.e_machine != EM_X86_64)
        return invalid_input("an ELF file for machine {}, not for x86-64", header.e_machine);
    if (header.e_type != ET_EXEC)
        return invalid_input("an ELF file of type {}, not an executable", header.e_type);
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        return invalid_input("ELF program headers of {} bytes instead of {}", header.e_phentsize,
                             sizeof(Elf64_Phdr));
    if (header.e_phnum == 0 || header.e_phnum > kMaxSegments)
        return invalid_input("{} ELF program headers; 1 to {} are accepted", header.e_phnum, kMaxSegments);
    return {};
}

Result<ElfSegment> check_segment(const Image& image, const Elf64_Phdr& header, std::size_t index) {
    const auto part = fmt::format("segment {}", index);
    if (header.p_filesz > header.p_memsz)
        return invalid_input("{} has {:#x} bytes in the file but {:#x} in memory", part, header.p_filesz,
                             header.p_memsz);
    if (header.p_paddr + header.p_memsz < header.p_paddr)
        return invalid_input("{} at {:#x} with {:#x} bytes wraps around", part, header.p_paddr,
                             header.p_memsz);
    TRY(image.check_range(header.p_offset, header.p_filesz, part));
    return ElfSegment{header.p_offset, header.p_filesz, header.p_memsz, Gpa{header.p_paddr}};
}

// Notes are name and descriptor, each padded to the alignment of the segment (4, or 8 where p_align says so).
Result<std::optional<std::uint64_t>> find_pvh_note(std::span<const std::byte> notes,
                                                   std::uint64_t alignment) {
    ByteReader reader{notes};
    while (reader.remaining() >= sizeof(Elf64_Nhdr)) {
        const auto name_size = TRY(reader.le<std::uint32_t>());
        const auto value_size = TRY(reader.le<std::uint32_t>());
        const auto type = TRY(reader.le<std::uint32_t>());
        const auto name = TRY(reader.take(name_size));
        TRY(reader.take(
            std::min(align_up(reader.offset(), alignment) - reader.offset(), reader.remaining())));
        const auto value = TRY(reader.take(value_size));
        TRY(reader.take(
            std::min(align_up(reader.offset(), alignment) - reader.offset(), reader.remaining())));

        if (type != kPhys32Entry || !std::ranges::equal(name, std::as_bytes(std::span{kXen})))
            continue;
        if (value.size() == 4)
            return std::optional<std::uint64_t>{load_le<std::uint32_t>(value)};
        if (value.size() == 8)
            return std::optional{load_le<std::uint64_t>(value)};
        return invalid_input("the PVH note has {} bytes instead of 4 or 8", value.size());
    }
    return std::optional<std::uint64_t>{};
}

Result<std::optional<std::uint64_t>> read_pvh_note(const Image& image, const Elf64_Phdr& header) {
    if (header.p_filesz > kMaxNotes)
        return invalid_input("{} bytes of ELF notes; up to {} are accepted", header.p_filesz, kMaxNotes);
    TRY(image.check_range(header.p_offset, header.p_filesz, "the notes"));
    std::vector<std::byte> notes(header.p_filesz);
    TRY(image.read(header.p_offset, notes, "the notes"));
    auto found = find_pvh_note(notes, header.p_align == 8 ? 8 : 4);
    if (!found.ok()) // the reader does not know whose bytes they are
        return invalid_input("ELF notes: {}", found.error().text);
    return found;
}

Status sort_and_check_overlap(std::vector<ElfSegment>& segments) {
    std::ranges::sort(segments, {}, [](const ElfSegment& segment) { return segment.address; });
    for (std::size_t i = 1; i < segments.size(); ++i)
        if (segments[i].address.value < segments[i - 1].end())
            return invalid_input("segments overlap at {}", segments[i].address);
    return {};
}

bool is_inside(const ElfKernel& kernel, std::uint64_t address) {
    return std::ranges::any_of(kernel.segments, [&](const ElfSegment& segment) {
        return address >= segment.address.value && address < segment.end();
    });
}

} // namespace

bool has_elf_magic(const Image& image) {
    std::array<std::byte, SELFMAG> magic{};
    return image.size() >= magic.size() && image.read(0, magic, "magic").ok() &&
           std::memcmp(magic.data(), ELFMAG, SELFMAG) == 0;
}

Result<ElfKernel> parse_elf(const Image& image) {
    const auto header = TRY(read_struct<Elf64_Ehdr>(image, 0, "the ELF header"));
    TRY(check_header(header));

    std::vector<Elf64_Phdr> program(header.e_phnum);
    TRY(image.read(header.e_phoff, std::as_writable_bytes(std::span{program}), "the program headers"));

    ElfKernel kernel;
    kernel.file_end = header.e_phoff + std::span{program}.size_bytes();
    std::optional<std::uint64_t> pvh_entry;
    for (std::size_t i = 0; i < program.size(); ++i) {
        if (program[i].p_type == PT_LOAD && program[i].p_memsz != 0)
            kernel.segments.push_back(TRY(check_segment(image, program[i], i)));
        if (program[i].p_type == PT_NOTE && !pvh_entry)
            pvh_entry = TRY(read_pvh_note(image, program[i]));
        if (program[i].p_type == PT_LOAD || program[i].p_type == PT_NOTE)
            kernel.file_end = std::max(kernel.file_end, program[i].p_offset + program[i].p_filesz);
    }
    if (kernel.segments.empty())
        return invalid_input("an ELF file without a segment to load");
    TRY(sort_and_check_overlap(kernel.segments));

    if (pvh_entry) {
        if (*pvh_entry > UINT32_MAX || !is_inside(kernel, *pvh_entry))
            return invalid_input("the PVH entry {:#x} is in no segment", *pvh_entry);
        kernel.pvh_entry = static_cast<std::uint32_t>(*pvh_entry);
    }
    if (is_inside(kernel, header.e_entry))
        kernel.entry64 = header.e_entry;
    if (!kernel.pvh_entry && !kernel.entry64)
        return invalid_input("no PVH note, and the entry {:#x} is not a physical address in a segment",
                             header.e_entry);
    return kernel;
}

} // namespace godwit::boot
