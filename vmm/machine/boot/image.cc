// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace godwit::boot {

namespace {

constexpr std::size_t kCopyBytes = std::size_t{256} << 10; // stays in the cache

// An unpacked Linux kernel carries its bss, many megabytes of zeros, in the image.
void copy_nonzero(std::span<const std::byte> bytes, const GuestWriteSlice& target) {
    for (std::size_t at = 0; at < bytes.size(); at += kPageSize) {
        const auto page = bytes.subspan(at, std::min<std::size_t>(kPageSize, bytes.size() - at));
        const bool zero =
            page[0] == std::byte{0} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
        if (!zero)
            target.copy_in(at, page);
    }
}

} // namespace

Result<Image> Image::open(const std::string& path) {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    Fd file = TRY(open_file(path, O_RDONLY | O_NONBLOCK, 0, ErrorCode::InvalidInput));
    struct stat status {};
    if (::fstat(file.get(), &status) != 0)
        return system_error(errno, fmt::format("stat '{}'", path));
    if (!S_ISREG(status.st_mode))
        return invalid_input("'{}' is not a regular file", path);
    return Image{std::move(file), static_cast<std::uint64_t>(status.st_size)};
}

Status Image::check_range(std::uint64_t offset, std::uint64_t length, std::string_view part) const {
    if (offset > size_ || length > size_ - offset)
        return invalid_input("truncated: {} of {} bytes from {:#x}, but there are only {:#x}", part, length,
                             offset, size_);
    return {};
}

Status Image::read_all(std::uint64_t offset, std::span<std::byte> out, std::string_view part) const {
    if (kept_)
        return kept_->read(offset, out);
    while (!out.empty()) {
        const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_error(errno, fmt::format("read {}", part));
        if (got == 0)
            return invalid_input("truncated while it was read: {} is {} bytes short", part, out.size());
        offset += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

Status Image::read(std::uint64_t offset, std::span<std::byte> out, std::string_view part) const {
    TRY(check_range(offset, out.size(), part));
    if (file_ || kept_)
        return read_all(offset, out, part);
    if (!out.empty())
        std::memcpy(out.data(), memory_.data() + offset, out.size());
    return {};
}

Result<Blob> Image::keep(std::uint64_t length, const char* part) const {
    TRY(check_range(0, length, part));
    BlobWriter writer = TRY(BlobWriter::create(part));
    std::vector<std::byte> buffer(std::min<std::uint64_t>(length, kCopyBytes));
    while (writer.size() != length) {
        const auto piece =
            std::span{buffer}.first(std::min<std::uint64_t>(buffer.size(), length - writer.size()));
        TRY(read(writer.size(), piece, part));
        TRY(writer.append(piece));
    }
    return std::move(writer).seal();
}

Status Image::load(std::uint64_t offset, std::uint64_t length, GuestMemory& memory, Gpa to,
                   std::string_view part) const {
    TRY(check_range(offset, length, part));
    if (length == 0)
        return {};
    const GuestWriteSlice target = TRY_IN(memory.writable(to, length), part);
    if (!file_ && !kept_) {
        copy_nonzero({memory_.data() + offset, length}, target);
        return {};
    }
    const Status done = read_all(offset, {target.for_kernel(), length}, part);
    target.wrote(length);
    return done;
}

std::string first_bytes(const Image& image) {
    std::array<std::byte, 4> bytes{};
    const std::size_t count = std::min<std::size_t>(bytes.size(), image.size());
    if (count == 0 || !image.read(0, std::span{bytes}.first(count), "magic").ok())
        return "is empty";
    std::string text = "starts with";
    for (const std::byte byte : std::span{bytes}.first(count))
        text += fmt::format(" {:02x}", std::to_integer<unsigned>(byte));
    return text;
}

Error not_a_kernel(const Image& image) {
    return invalid_input("neither an ELF file nor a bzImage ({})", first_bytes(image));
}

} // namespace godwit::boot
