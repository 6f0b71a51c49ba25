// SPDX-License-Identifier: Apache-2.0
//
// A kernel, an initrd and a command line as they boot: checked, unpacked and placed in 16 MiB of RAM.
//
//     input := command_line_length(1) initrd_length(1) command_line initrd kernel
#include "vmm/base/bytes.h"
#include "vmm/base/fuzz.h"
#include "vmm/machine/board.h"
#include "vmm/machine/boot/bzimage.h"
#include "vmm/machine/boot/loader.h"
#include "vmm/machine/boot/test_images.h"

#include <stdexcept>

namespace {

using namespace godwit;
using namespace godwit::boot;

constexpr std::uint64_t kRam = 16 << 20;
// Payloads that say that they are larger, up to the bound, take long and show nothing new.
constexpr std::uint32_t kMostUnpacked = 4 << 20;

template <class T>
T must(Result<T> result) {
    if (!result.ok())
        throw std::runtime_error{result.error().text};
    return std::move(result).value();
}

Blob blob_of(std::span<const std::byte> bytes) {
    auto writer = must(BlobWriter::create("fuzz"));
    (void)writer.append(bytes);
    return must(std::move(writer).seal());
}

GuestMemory& ram() {
    static const auto memory = must(GuestMemory::create(kRam, board::kLowRamLimit));
    return *memory;
}

bool takes_long(std::span<const std::byte> kernel, const Blob& blob) {
    const Image image{blob};
    if (!has_bzimage_magic(image))
        return false;
    const auto parsed = parse_bzimage(image);
    if (!parsed.ok() || parsed->payload_size < 4)
        return false;
    const auto end = kernel.subspan(parsed->payload_offset + parsed->payload_size - 4, 4);
    const auto stated = load_le<std::uint32_t>(end);
    return stated > kMostUnpacked && stated <= kMaxUnpackedSize;
}

fuzz::Bytes input_of(std::string_view line, std::string_view initrd, const test::Bytes& kernel) {
    ByteWriter out;
    out.le(static_cast<std::uint8_t>(line.size()));
    out.le(static_cast<std::uint8_t>(initrd.size()));
    out.append(line);
    out.append(initrd);
    out.append(kernel);
    return out.take();
}

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    using test::compress;
    const auto small = [](bool wide_note, bool pvh) {
        test::ElfShape shape;
        shape.wide_note = wide_note;
        shape.text_size = 200;
        shape.data_size = 100;
        if (!pvh)
            shape.pvh_entry.reset();
        test::Bytes elf = test::make_elf(shape);
        return elf;
    };
    const auto packed = [&](Compression compression) {
        return test::make_bzimage(compress(compression, small(false, true)), {.stub_size = 64});
    };
    test::BzShape opaque;
    opaque.stub_size = 64;
    opaque.pref_address = 0x200000;
    return {{"elf-pvh", input_of("quiet", "an initrd", small(false, true))},
            {"elf-linux", input_of("quiet", "", small(true, false))},
            {"gzip", input_of("quiet", "an initrd", packed(Compression::Gzip))},
            {"xz", input_of("quiet", "", packed(Compression::Xz))},
            {"zstd", input_of("quiet", "", packed(Compression::Zstd))},
            {"lz4", input_of("quiet", "", packed(Compression::Lz4))},
            {"unpacks-itself",
             input_of("quiet", "", test::make_bzimage(test::Bytes(100, std::byte{0x42}), opaque))}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Input in{data, size};
    const std::size_t line_length = in.byte();
    const std::size_t initrd_length = in.byte();
    const auto line = in.take(line_length);
    const auto initrd = in.take(initrd_length);
    const auto kernel = in.rest();
    if (kernel.empty())
        return 0;
    migration::BootSource source{blob_of(kernel), {}, std::string{fuzz::text_of(line)}};
    if (!initrd.empty())
        source.initrd = blob_of(initrd);
    if (takes_long(kernel, source.kernel))
        return 0;
    const auto prepared = prepare(std::make_shared<const migration::BootSource>(std::move(source)));
    if (!prepared.ok())
        return 0;
    const auto placed = prepared->place(ram(), {Gpa{0xe0000}, {}});
    if (placed.ok())
        fuzz::require(placed->kernel_size <= kRam && placed->kernel_base.value <= kRam - placed->kernel_size,
                      "a kernel lies in RAM");
    (void)ram().discard_all();
    return 0;
}
