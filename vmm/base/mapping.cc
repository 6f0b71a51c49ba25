// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/mapping.h"

#include <cerrno>
#include <sys/mman.h>
#include <utility>

namespace godwit {

Result<Mapping> Mapping::anonymous(std::size_t length) {
    void* const address =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED)
        return system_error(errno, fmt::format("map {} bytes of memory", length));
    return Mapping{static_cast<std::byte*>(address), length};
}

Result<Mapping> Mapping::of_file(const Fd& fd, std::size_t length, int protection, bool shared,
                                 std::uint64_t offset) {
    void* const address = ::mmap(nullptr, length, protection, shared ? MAP_SHARED : MAP_PRIVATE, fd.get(),
                                 static_cast<off_t>(offset));
    if (address == MAP_FAILED)
        return system_error(errno, fmt::format("map {} bytes of a file", length));
    return Mapping{static_cast<std::byte*>(address), length};
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (data_ != nullptr)
        ::munmap(data_, size_);
}

} // namespace godwit
