// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/boot_files.h"

#include "vmm/machine/boot/bzimage.h"
#include "vmm/machine/boot/elf_kernel.h"
#include "vmm/machine/boot/image.h"

namespace godwit::boot {

namespace {

Status check_size(std::uint64_t size, std::uint64_t most) {
    if (size > most)
        return invalid_input("{} bytes do not fit in the {} bytes of RAM", size, most);
    return {};
}

Result<std::uint64_t> bytes_that_boot(const Image& file) {
    if (has_elf_magic(file))
        return TRY(parse_elf(file)).file_end;
    if (has_bzimage_magic(file))
        return TRY(parse_bzimage(file)).file_end;
    return not_a_kernel(file);
}

Result<Blob> keep_kernel(const std::string& path, std::uint64_t ram_size) {
    const Image file = TRY_IN(Image::open(path), "kernel");
    const auto context = fmt::format("kernel '{}'", path);
    const std::uint64_t size = TRY_IN(bytes_that_boot(file), context);
    TRY_IN(check_size(size, ram_size), context);
    return TRY_IN(file.keep(size, "kernel"), context);
}

} // namespace

Result<Blob> keep_file(const std::string& path, const char* part, std::uint64_t most) {
    const Image file = TRY_IN(Image::open(path), part);
    if (file.size() == 0)
        return invalid_input("{} '{}' is empty", part, path);
    const auto context = fmt::format("{} '{}'", part, path);
    TRY_IN(check_size(file.size(), most), context);
    return TRY_IN(file.keep(file.size(), part), context);
}

Result<migration::BootSourcePtr> read_files(const BootFiles& files, std::uint64_t ram_size) {
    migration::BootSource source{TRY(keep_kernel(files.kernel, ram_size)), {}, files.command_line};
    source.kernel_name = fmt::format("'{}'", files.kernel);
    if (files.initrd) {
        source.initrd = TRY(keep_file(*files.initrd, "initrd", ram_size));
        source.initrd_name = fmt::format("'{}'", *files.initrd);
    }
    return std::make_shared<const migration::BootSource>(std::move(source));
}

} // namespace godwit::boot
