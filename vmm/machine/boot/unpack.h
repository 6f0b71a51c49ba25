// SPDX-License-Identifier: Apache-2.0
//
// Unpacks the compressed kernel inside a bzImage. Output is bounded before anything is allocated. Any thread.
#pragma once

#include "vmm/base/mapping.h"
#include "vmm/base/result.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace godwit::boot {

enum class Compression { Gzip, Xz, Zstd, Lz4 };

inline constexpr std::uint64_t kMaxUnpackedSize = std::uint64_t{512} << 20;

// By the first bytes; empty when none of the four.
std::optional<Compression> identify_compression(std::span<const std::byte> packed);

// `payload` as the kernel's build leaves it: the stream, then its unpacked size in four bytes (gzip ends with
// them anyway). InvalidInput: unknown compression (with its first bytes), damaged stream, size that does not
// hold.
Result<Mapping> unpack(std::span<const std::byte> payload);

} // namespace godwit::boot
