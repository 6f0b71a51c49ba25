// SPDX-License-Identifier: Apache-2.0
//
// Compression of the pages of one frame, as one block: LZ4 or Zstandard. Decompression is bounded: it gives
// exactly as many bytes as are due or is an error, and allocates nothing that the peer chose. A Codec belongs
// to one thread.
#pragma once

#include "migration/parameters.h"
#include "vmm/base/result.h"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace godwit::migration {

class Codec {
  public:
    virtual ~Codec() = default;

    // The block; empty when it would not be smaller than `limit` bytes. Valid until the next call.
    virtual Result<std::span<const std::byte>> compress(std::span<const std::byte> from,
                                                        std::size_t limit) = 0;
    // Fills `into`, all of it.
    virtual Status decompress(std::span<const std::byte> from, std::span<std::byte> into) = 0;

    // Null for Compression::None.
    static Result<std::unique_ptr<Codec>> create(Compression method);
};

} // namespace godwit::migration
