// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include "vmm/base/log.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace godwit {

namespace {
constexpr Gpa kHighRam{std::uint64_t{4} << 30};
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

// An empty span may have no address, which memcpy must not be given.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t size) {
    if (size != 0)
        std::memcpy(to, from, size);
}
} // namespace

void GuestReadSlice::copy_out(std::size_t offset, std::span<std::byte> out) const {
    copy_bytes(out.data(), data_ + offset, out.size());
}

void GuestWriteSlice::wrote(std::size_t count) const {
    dirty_->mark(offset_, count);
}

void GuestWriteSlice::copy_in(std::size_t offset, std::span<const std::byte> bytes) const {
    copy_bytes(data_ + offset, bytes.data(), bytes.size());
    dirty_->mark(RamOffset{offset_.value + offset}, bytes.size());
}

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(std::uint64_t size, std::uint64_t low_limit) {
    if (size == 0 || size % kPageSize != 0)
        return invalid_input("guest memory of {} bytes is not a positive multiple of {}", size, kPageSize);
    Mapping mapping = TRY_IN(Mapping::anonymous(size), "guest memory");
    // Huge pages make first touches about ten times cheaper; a kernel without them works all the same.
    if (size >= kHugePage && ::madvise(mapping.data(), size, MADV_HUGEPAGE) != 0)
        log::debug("huge pages are not available for guest memory");

    std::vector<RamRegion> regions;
    const std::uint64_t low = std::min(size, low_limit);
    regions.push_back({Gpa{0}, low, RamOffset{0}});
    if (size > low)
        regions.push_back({kHighRam, size - low, RamOffset{low}});
    return std::unique_ptr<GuestMemory>{new GuestMemory{std::move(mapping), std::move(regions)}};
}

GuestMemory::GuestMemory(Mapping mapping, std::vector<RamRegion> regions)
    : mapping_(std::move(mapping)), regions_(std::move(regions)), dirty_(mapping_.size()) {}

Result<RamOffset> GuestMemory::locate(Gpa gpa, std::uint64_t length) const {
    for (const RamRegion& region : regions_) {
        if (gpa < region.base)
            continue;
        const std::uint64_t inside = gpa.value - region.base.value;
        if (inside <= region.size && length <= region.size - inside)
            return RamOffset{region.offset.value + inside};
    }
    return error(ErrorCode::Guest, "{} bytes at {} are not guest RAM", length, gpa);
}

Status GuestMemory::read(Gpa gpa, std::span<std::byte> out) const {
    const RamOffset offset = TRY(locate(gpa, out.size()));
    copy_bytes(out.data(), host(offset), out.size());
    return {};
}

Status GuestMemory::write(Gpa gpa, std::span<const std::byte> bytes) {
    const RamOffset offset = TRY(locate(gpa, bytes.size()));
    copy_bytes(host(offset), bytes.data(), bytes.size());
    dirty_.mark(offset, bytes.size());
    return {};
}

Result<GuestReadSlice> GuestMemory::readable(Gpa gpa, std::uint64_t length) const {
    return GuestReadSlice{host(TRY(locate(gpa, length))), length};
}

Result<GuestWriteSlice> GuestMemory::writable(Gpa gpa, std::uint64_t length) {
    const RamOffset offset = TRY(locate(gpa, length));
    return GuestWriteSlice{host(offset), length, &dirty_, offset};
}

Gpa GuestMemory::address_of(const std::byte* at) const {
    const auto offset = static_cast<std::uint64_t>(at - mapping_.data());
    for (const RamRegion& region : regions_)
        if (offset - region.offset.value < region.size)
            return Gpa{region.base.value + (offset - region.offset.value)};
    return Gpa{};
}

Status GuestMemory::discard_all() {
    if (::madvise(mapping_.data(), mapping_.size(), MADV_DONTNEED) != 0)
        return system_error(errno, "discard guest memory");
    return {};
}

Result<std::byte*> GuestMemory::aligned(Gpa gpa, std::uint64_t size) const {
    if (gpa.value % size != 0)
        return error(ErrorCode::Guest, "{} is not aligned to {} bytes", gpa, size);
    return host(TRY(locate(gpa, size)));
}

void GuestMemory::mark_dirty(const std::byte* at, std::uint64_t length) {
    dirty_.mark(RamOffset{static_cast<std::uint64_t>(at - mapping_.data())}, length);
}

} // namespace godwit
