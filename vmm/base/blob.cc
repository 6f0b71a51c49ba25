// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/blob.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace godwit {

Status Blob::read(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        const ssize_t got = ::pread(file_->get(), out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_error(errno, "read from memory");
        if (got == 0)
            return error(ErrorCode::Internal, "{} bytes beyond the end of {} in memory", out.size(), size_);
        offset += static_cast<std::uint64_t>(got);
        out = out.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

Result<Mapping> Blob::map() const {
    if (size_ == 0)
        return Mapping{};
    return Mapping::of_file(*file_, size_, PROT_READ, true);
}

Result<BlobWriter> BlobWriter::create(const char* name) {
    Fd file = Fd::adopt(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file)
        return system_error(errno, fmt::format("make memory for the {}", name));
    return BlobWriter{std::move(file)};
}

Status BlobWriter::append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error(errno, fmt::format("keep {} bytes in memory", bytes.size()));
        size_ += static_cast<std::uint64_t>(count);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

Result<Blob> BlobWriter::seal() && {
    constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (::fcntl(file_.get(), F_ADD_SEALS, kSeals) != 0)
        return system_error(errno, "seal memory");
    return Blob{std::move(file_), size_};
}

} // namespace godwit
