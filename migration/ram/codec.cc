// SPDX-License-Identifier: Apache-2.0
#include "migration/ram/codec.h"

#include <lz4.h>
#include <zstd.h>

namespace godwit::migration {

namespace {

// Faster than most networks, and most of what higher levels reach on memory.
constexpr int kZstdLevel = 1;

class Lz4 final : public Codec {
  public:
    Result<std::span<const std::byte>> compress(std::span<const std::byte> from, std::size_t limit) override {
        block_.resize(limit);
        const int size = LZ4_compress_default(chars(from), reinterpret_cast<char*>(block_.data()),
                                              static_cast<int>(from.size()), static_cast<int>(limit));
        return std::span<const std::byte>{block_}.first(static_cast<std::size_t>(std::max(size, 0)));
    }
    Status decompress(std::span<const std::byte> from, std::span<std::byte> into) override {
        const int size = LZ4_decompress_safe(chars(from), reinterpret_cast<char*>(into.data()),
                                             static_cast<int>(from.size()), static_cast<int>(into.size()));
        if (size < 0 || static_cast<std::size_t>(size) != into.size())
            return corrupt("a compressed frame cannot be decompressed (LZ4)");
        return {};
    }

  private:
    static const char* chars(std::span<const std::byte> bytes) {
        return reinterpret_cast<const char*>(bytes.data());
    }
    std::vector<std::byte> block_;
};

class Zstd final : public Codec {
  public:
    Zstd() : packer_(ZSTD_createCCtx(), &ZSTD_freeCCtx), unpacker_(ZSTD_createDCtx(), &ZSTD_freeDCtx) {}
    bool ready() const { return packer_ != nullptr && unpacker_ != nullptr; }

    Result<std::span<const std::byte>> compress(std::span<const std::byte> from, std::size_t limit) override {
        block_.resize(limit);
        const std::size_t size =
            ZSTD_compressCCtx(packer_.get(), block_.data(), limit, from.data(), from.size(), kZstdLevel);
        // There is but one way to fail: it does not fit.
        return std::span<const std::byte>{block_}.first(ZSTD_isError(size) != 0 ? 0 : size);
    }
    Status decompress(std::span<const std::byte> from, std::span<std::byte> into) override {
        const std::size_t size =
            ZSTD_decompressDCtx(unpacker_.get(), into.data(), into.size(), from.data(), from.size());
        if (ZSTD_isError(size) != 0 || size != into.size())
            return corrupt("a compressed frame cannot be decompressed (Zstandard)");
        return {};
    }

  private:
    std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> packer_;
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> unpacker_;
    std::vector<std::byte> block_;
};

} // namespace

Result<std::unique_ptr<Codec>> Codec::create(Compression method) {
    if (method == Compression::Lz4)
        return std::unique_ptr<Codec>{std::make_unique<Lz4>()};
    if (method == Compression::None)
        return std::unique_ptr<Codec>{};
    auto zstd = std::make_unique<Zstd>();
    if (!zstd->ready())
        return error(ErrorCode::System, "there is no memory for Zstandard");
    return std::unique_ptr<Codec>{std::move(zstd)};
}

} // namespace godwit::migration
