// SPDX-License-Identifier: Apache-2.0
//
// Guest RAM: one block, seen by the guest in up to two pieces around the hole below 4 GiB, reached only
// through bounds-checked copies and slices. Whatever writes to it goes through here, so that every page that
// the VMM changes is in the dirty map.
#pragma once

#include "vmm/base/address.h"
#include "vmm/base/mapping.h"
#include "vmm/base/result.h"
#include "vmm/memory/dirty_map.h"

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

namespace godwit {

class GuestMemory;

// A range of guest RAM that a device may read, checked once. The guest may change the bytes at any time: copy
// them before looking at them twice.
class GuestReadSlice {
  public:
    std::size_t size() const { return size_; }
    // For system calls that read from memory (write(2), an io_uring write).
    const std::byte* for_kernel() const { return data_; }
    // Precondition: offset + out.size() <= size().
    void copy_out(std::size_t offset, std::span<std::byte> out) const;

  private:
    friend class GuestMemory;
    GuestReadSlice(const std::byte* data, std::size_t size) : data_(data), size_(size) {}
    const std::byte* data_;
    std::size_t size_;
};

// A range of guest RAM that a device may write, checked once.
class GuestWriteSlice {
  public:
    std::size_t size() const { return size_; }
    // For system calls that write to memory. Afterwards wrote() must be called, also when the call failed
    // (then with the whole size: how far the kernel came is not known).
    std::byte* for_kernel() const { return data_; }
    // Marks the first `count` bytes dirty. Precondition: count <= size().
    void wrote(std::size_t count) const;
    // Copies and marks. Precondition: offset + bytes.size() <= size().
    void copy_in(std::size_t offset, std::span<const std::byte> bytes) const;

  private:
    friend class GuestMemory;
    GuestWriteSlice(std::byte* data, std::size_t size, DirtyMap* dirty, RamOffset offset)
        : data_(data), size_(size), dirty_(dirty), offset_(offset) {}
    std::byte* data_;
    std::size_t size_;
    DirtyMap* dirty_;
    RamOffset offset_;
};

struct RamRegion {
    Gpa base;
    std::uint64_t size;
    RamOffset offset;
};

// Any thread may use it; the layout never changes after creation.
class GuestMemory {
  public:
    // RAM at [0, low_limit) and, for what does not fit, from 4 GiB. `size` is a multiple of the page size.
    static Result<std::unique_ptr<GuestMemory>> create(std::uint64_t size, std::uint64_t low_limit);

    std::uint64_t size() const { return mapping_.size(); }
    std::uint64_t page_count() const { return size() / kPageSize; }
    std::span<const RamRegion> regions() const { return regions_; }

    // Offset in the block of a range that lies wholly in one piece of RAM.
    Result<RamOffset> locate(Gpa gpa, std::uint64_t length) const;

    // Copies in one go; a range that is not RAM is an error that names it.
    Status read(Gpa gpa, std::span<std::byte> out) const;
    Status write(Gpa gpa, std::span<const std::byte> bytes);

    template <class T>
    requires std::is_trivially_copyable_v<T> Result<T> read(Gpa gpa)
    const {
        T value;
        TRY(read(gpa, std::as_writable_bytes(std::span{&value, 1})));
        return value;
    }
    // A span of bytes is not a value: this would write its pointer.
    template <class T>
    requires(std::is_trivially_copyable_v<T> &&
             !std::is_convertible_v<const T&, std::span<const std::byte>>) Status
        write(Gpa gpa, const T& value) {
        return write(gpa, std::as_bytes(std::span{&value, 1}));
    }

    // Ring indices, ordered against the rest of the ring. The address must be aligned to the type.
    template <std::unsigned_integral T>
    Result<T> load_acquire(Gpa gpa) const {
        const std::byte* const at = TRY(aligned(gpa, sizeof(T)));
        return __atomic_load_n(reinterpret_cast<const T*>(at), __ATOMIC_ACQUIRE);
    }
    template <std::unsigned_integral T>
    Status store_release(Gpa gpa, T value) {
        std::byte* const at = TRY(aligned(gpa, sizeof(T)));
        __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_RELEASE);
        mark_dirty(at, sizeof(T));
        return {};
    }
    // Sets bits atomically (indicators shared with the guest).
    template <std::unsigned_integral T>
    Result<T> fetch_or(Gpa gpa, T bits) {
        std::byte* const at = TRY(aligned(gpa, sizeof(T)));
        const T before = __atomic_fetch_or(reinterpret_cast<T*>(at), bits, __ATOMIC_SEQ_CST);
        mark_dirty(at, sizeof(T));
        return before;
    }

    Result<GuestReadSlice> readable(Gpa gpa, std::uint64_t length) const;
    Result<GuestWriteSlice> writable(Gpa gpa, std::uint64_t length);

    // The whole block, for KVM's memory slots and for the RAM transfer, which keep their own account of dirty
    // pages.
    std::byte* host(RamOffset offset) const { return mapping_.data() + offset.value; }

    // Where the guest sees what is there. Precondition: `at` came from this memory.
    Gpa address_of(const std::byte* at) const;

    // Gives every page back to the host; the guest would read zeros. Precondition: nothing runs or is in
    // flight.
    Status discard_all();

    DirtyMap& dirty() { return dirty_; }

  private:
    GuestMemory(Mapping mapping, std::vector<RamRegion> regions);
    Result<std::byte*> aligned(Gpa gpa, std::uint64_t size) const;
    void mark_dirty(const std::byte* at, std::uint64_t length);

    Mapping mapping_;
    std::vector<RamRegion> regions_;
    DirtyMap dirty_;
};

} // namespace godwit
