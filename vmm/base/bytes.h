// SPDX-License-Identifier: Apache-2.0
//
// Byte order, said at every load and store, and bounds-checked cursors over byte spans.
#pragma once

#include "vmm/base/result.h"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace godwit {

template <std::unsigned_integral T>
constexpr T byte_swap(T value) {
    if constexpr (sizeof(T) == 1)
        return value;
    else if constexpr (sizeof(T) == 2)
        return __builtin_bswap16(value);
    else if constexpr (sizeof(T) == 4)
        return __builtin_bswap32(value);
    else
        return __builtin_bswap64(value);
}

static_assert(std::endian::native == std::endian::little, "godwit runs on x86 hosts");

template <std::unsigned_integral T>
constexpr T from_be(T value) {
    return byte_swap(value);
}
template <std::unsigned_integral T>
constexpr T to_be(T value) {
    return byte_swap(value);
}

// Precondition for all four: bytes.size() >= sizeof(T).
template <std::unsigned_integral T>
T load_le(std::span<const std::byte> bytes) {
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}
template <std::unsigned_integral T>
void store_le(std::span<std::byte> bytes, T value) {
    std::memcpy(bytes.data(), &value, sizeof value);
}
template <std::unsigned_integral T>
T load_be(std::span<const std::byte> bytes) {
    return from_be(load_le<T>(bytes));
}
template <std::unsigned_integral T>
void store_be(std::span<std::byte> bytes, T value) {
    store_le(bytes, to_be(value));
}

// Cursor over received bytes. Every read is bounded; the error says how many bytes were missing at which
// offset.
class ByteReader {
  public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    std::size_t offset() const { return offset_; }
    std::size_t remaining() const { return bytes_.size() - offset_; }
    bool at_end() const { return remaining() == 0; }

    Result<std::span<const std::byte>> take(std::size_t count) {
        if (count > remaining())
            return corrupt("truncated at byte {}: {} bytes wanted, {} left", offset_, count, remaining());
        const auto part = bytes_.subspan(offset_, count);
        offset_ += count;
        return part;
    }
    // Looks ahead without moving; empty when fewer bytes are left.
    std::span<const std::byte> peek(std::size_t count) const {
        return count > remaining() ? std::span<const std::byte>{} : bytes_.subspan(offset_, count);
    }
    template <std::unsigned_integral T>
    Result<T> be() {
        return load_be<T>(TRY(take(sizeof(T))));
    }
    template <std::unsigned_integral T>
    Result<T> le() {
        return load_le<T>(TRY(take(sizeof(T))));
    }

  private:
    std::span<const std::byte> bytes_;
    std::size_t offset_ = 0;
};

// Growing output buffer.
class ByteWriter {
  public:
    std::size_t size() const { return bytes_.size(); }
    std::span<const std::byte> bytes() const { return bytes_; }
    std::vector<std::byte> take() { return std::move(bytes_); }

    void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
    void append(std::string_view text) { append(std::as_bytes(std::span{text})); }
    void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }
    template <std::unsigned_integral T>
    void be(T value) {
        const T swapped = to_be(value);
        append(std::as_bytes(std::span{&swapped, 1}));
    }
    template <std::unsigned_integral T>
    void le(T value) {
        append(std::as_bytes(std::span{&value, 1}));
    }

  private:
    std::vector<std::byte> bytes_;
};

} // namespace godwit
