// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/unpack.h"

#include "vmm/base/bytes.h"

#include <algorithm>
#include <array>
#include <lz4.h>
#include <lzma.h>
#include <string_view>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

namespace godwit::boot {

namespace {

constexpr std::size_t kSizeField = 4;
constexpr std::uint64_t kXzMemoryLimit = std::uint64_t{256}
                                         << 20; // dictionary of the largest preset and then some
constexpr std::uint32_t kLz4LegacyMagic = 0x184c2102;
constexpr std::size_t kLz4BlockSize = 8 << 20; // lz4_Frame_format.md, "Legacy frame"

struct Format {
    Compression compression;
    std::string_view name;
    std::string_view magic;
};
constexpr std::array kFormats{
    Format{Compression::Gzip, "gzip", "\x1f\x8b"},
    Format{Compression::Xz, "xz", std::string_view{"\xfd\x37zXZ\0", 6}},
    Format{Compression::Zstd, "zstd", "\x28\xb5\x2f\xfd"},
    Format{Compression::Lz4, "lz4", "\x02\x21\x4c\x18"},
};

const Format* identify(std::span<const std::byte> packed) {
    const auto found = std::ranges::find_if(kFormats, [&](const Format& format) {
        return packed.size() >= format.magic.size() &&
               std::ranges::equal(packed.first(format.magic.size()), std::as_bytes(std::span{format.magic}));
    });
    return found == kFormats.end() ? nullptr : &*found;
}

// Each of these fills `out` as far as the stream goes and returns how far that was.

Result<std::size_t> unpack_gzip(std::span<const std::byte> in, std::span<std::byte> out) {
    constexpr int kGzipWindow = 15 + 16; // zlib.h: 32 KiB window, gzip header and trailer
    z_stream stream{};
    if (::inflateInit2(&stream, kGzipWindow) != Z_OK)
        return error(ErrorCode::System, "zlib: out of memory");
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = ::inflate(&stream, Z_FINISH);
    const std::size_t produced = out.size() - stream.avail_out;
    const bool full = stream.avail_out == 0;
    const std::string reason = stream.msg != nullptr ? stream.msg
                               : full                ? "longer than stated"
                                                     : "ends too early";
    ::inflateEnd(&stream);
    if (result != Z_STREAM_END)
        return invalid_input("{}", reason);
    return produced;
}

Result<std::size_t> unpack_xz(std::span<const std::byte> in, std::span<std::byte> out) {
    std::uint64_t memory_limit = kXzMemoryLimit;
    std::size_t consumed = 0;
    std::size_t produced = 0;
    const lzma_ret result = ::lzma_stream_buffer_decode(
        &memory_limit, 0, nullptr, reinterpret_cast<const std::uint8_t*>(in.data()), &consumed, in.size(),
        reinterpret_cast<std::uint8_t*>(out.data()), &produced, out.size());
    switch (result) {
    case LZMA_OK:
        return produced;
    case LZMA_BUF_ERROR:
        return invalid_input("ends too early or is longer than stated");
    case LZMA_MEMLIMIT_ERROR:
        return invalid_input("needs {} bytes to unpack; {} are allowed", memory_limit, kXzMemoryLimit);
    case LZMA_MEM_ERROR:
        return error(ErrorCode::System, "liblzma: out of memory");
    case LZMA_OPTIONS_ERROR:
        return invalid_input("uses a filter that liblzma does not have");
    default:
        return invalid_input("damaged data");
    }
}

Result<std::size_t> unpack_zstd(std::span<const std::byte> in, std::span<std::byte> out) {
    const std::size_t result = ::ZSTD_decompress(out.data(), out.size(), in.data(), in.size());
    if (::ZSTD_isError(result) != 0)
        return invalid_input("{}", ::ZSTD_getErrorName(result));
    return result;
}

// lz4_Frame_format.md, "Legacy frame": magic, then blocks of a length and that many bytes, each unpacking to
// 8 MiB or, the last one, to less. liblz4's frame functions do not know this format. Another magic may start
// another frame.
Result<std::size_t> unpack_lz4(std::span<const std::byte> in, std::span<std::byte> out) {
    ByteReader reader{in};
    std::size_t produced = 0;
    while (!reader.at_end()) {
        const auto length = TRY(reader.le<std::uint32_t>());
        if (length == kLz4LegacyMagic)
            continue;
        const std::size_t at = reader.offset();
        const auto block = TRY(reader.take(length));
        const auto target = out.subspan(produced, std::min(kLz4BlockSize, out.size() - produced));
        if (length > static_cast<std::uint32_t>(LZ4_COMPRESSBOUND(kLz4BlockSize)))
            return invalid_input("block of {} bytes at {:#x} is too long", length, at);
        const int got = ::LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()),
                                              reinterpret_cast<char*>(target.data()),
                                              static_cast<int>(length), static_cast<int>(target.size()));
        if (got < 0)
            return invalid_input("block at {:#x} is damaged or longer than stated", at);
        produced += static_cast<std::size_t>(got);
    }
    return produced;
}

Result<std::size_t> unpack_as(Compression compression, std::span<const std::byte> payload,
                              std::span<std::byte> out) {
    const auto stream = payload.first(payload.size() - kSizeField);
    switch (compression) {
    case Compression::Gzip:
        return unpack_gzip(payload, out); // the size field is its own
    case Compression::Xz:
        return unpack_xz(stream, out);
    case Compression::Zstd:
        return unpack_zstd(stream, out);
    case Compression::Lz4:
        return unpack_lz4(stream, out);
    }
    return error(ErrorCode::Internal, "compression {}", static_cast<int>(compression));
}

} // namespace

std::optional<Compression> identify_compression(std::span<const std::byte> packed) {
    const Format* const format = identify(packed);
    return format == nullptr ? std::nullopt : std::optional{format->compression};
}

Result<Mapping> unpack(std::span<const std::byte> payload) {
    const Format* const format = identify(payload);
    if (format == nullptr) {
        std::string start;
        for (const std::byte byte : payload.first(std::min<std::size_t>(payload.size(), 6)))
            start += fmt::format(" {:02x}", std::to_integer<unsigned>(byte));
        return invalid_input("unknown compression (it starts with{}); gzip, xz, zstd and lz4 are known",
                             start);
    }
    if (payload.size() < format->magic.size() + kSizeField)
        return invalid_input("{} data of {} bytes is too short", format->name, payload.size());
    const std::uint64_t stated = load_le<std::uint32_t>(payload.last(kSizeField));
    if (stated == 0 || stated > kMaxUnpackedSize)
        return invalid_input("{} data that unpacks to {} bytes; 1 to {} are accepted", format->name, stated,
                             kMaxUnpackedSize);

    Mapping out = TRY(Mapping::anonymous(stated));
    ::madvise(out.data(), out.size(), MADV_HUGEPAGE); // an optimisation; its failure changes nothing
    const auto produced = unpack_as(format->compression, payload, out.bytes());
    if (!produced.ok()) {
        // A cursor's "corrupt" means the user's file here.
        const ErrorCode code =
            produced.error().code == ErrorCode::Corrupt ? ErrorCode::InvalidInput : produced.error().code;
        return error(code, "{} data: {}", format->name, produced.error().text);
    }
    if (produced.value() != stated)
        return invalid_input("{} data unpacks to {} bytes, {} are stated", format->name, produced.value(),
                             stated);
    return out;
}

} // namespace godwit::boot
