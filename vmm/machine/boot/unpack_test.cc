// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/boot/unpack.h"

#include "vmm/base/bytes.h"
#include "vmm/machine/boot/test_images.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace godwit::boot {

using test::Bytes;
using test::compress;

namespace {

constexpr std::array kAll{Compression::Gzip, Compression::Xz, Compression::Zstd, Compression::Lz4};

// Compressible, but not trivially so.
Bytes sample(std::size_t size) {
    Bytes bytes(size);
    std::uint32_t state = 1;
    for (std::byte& byte : bytes) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<std::byte>((state >> 24) & 0x33);
    }
    return bytes;
}

Bytes with_size(Bytes payload, std::uint32_t size) {
    store_le(std::span{payload}.last(4), size);
    return payload;
}

std::string failure(const Bytes& payload) {
    const auto result = unpack(payload);
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::InvalidInput);
    return result.error().text;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("what was packed is unpacked", "[unpack]") {
    for (const Compression compression : kAll)
        for (const std::size_t size : {1, 1000, 100'000}) {
            const Bytes original = sample(size);
            const Bytes packed = compress(compression, original);
            CHECK(identify_compression(packed) == compression);
            const auto result = unpack(packed);
            REQUIRE(result.ok());
            CHECK(std::ranges::equal(result.value().bytes(), original));
        }
}

TEST_CASE("lz4 data of several blocks and of several frames is unpacked", "[unpack]") {
    const Bytes original = sample((8 << 20) + 12345);
    Bytes packed = compress(Compression::Lz4, original);
    auto result = unpack(packed);
    REQUIRE(result.ok());
    CHECK(std::ranges::equal(result.value().bytes(), original));

    const Bytes small = sample(5000);
    Bytes twice = compress(Compression::Lz4, small);
    twice.resize(twice.size() - 4);
    const Bytes again = twice;
    twice.insert(twice.end(), again.begin(), again.end());
    twice.resize(twice.size() + 4);
    result = unpack(with_size(twice, 10'000));
    REQUIRE(result.ok());
    CHECK(std::ranges::equal(result.value().bytes().subspan(5000), small));
}

TEST_CASE("an unknown compression is named by its first bytes", "[unpack]") {
    const std::string text = failure({std::byte{'B'}, std::byte{'Z'}, std::byte{'h'}, std::byte{'9'}});
    CHECK(contains(text, "42 5a 68 39"));
    CHECK_FALSE(unpack({}).ok());
}

TEST_CASE("a stated size that does not hold is refused", "[unpack]") {
    const Bytes original = sample(50'000);
    for (const Compression compression : kAll) {
        const Bytes packed = compress(compression, original);
        CHECK(contains(failure(with_size(packed, 0)), "unpacks to 0"));
        CHECK(contains(failure(with_size(packed, UINT32_MAX)), "are accepted"));
        failure(with_size(packed, 49'999));
        failure(with_size(packed, 50'001));
    }
    CHECK(contains(failure(with_size(compress(Compression::Zstd, original), 50'001)), "50000"));
    CHECK(contains(failure(with_size(compress(Compression::Lz4, original), 49'999)), "longer than stated"));
}

TEST_CASE("truncated payloads are errors at every length", "[unpack]") {
    const Bytes original = sample(3000);
    for (const Compression compression : kAll) {
        const Bytes packed = compress(compression, original);
        for (std::size_t length = 0; length < packed.size(); ++length)
            CHECK_FALSE(unpack(std::span{packed}.first(length)).ok());
        // With the size still there the stream itself must notice.
        for (std::size_t cut = 1; cut + 12 < packed.size(); cut += 7) {
            Bytes shorter(packed.begin(), packed.end() - static_cast<std::ptrdiff_t>(cut + 4));
            shorter.insert(shorter.end(), packed.end() - 4, packed.end());
            CHECK_FALSE(unpack(shorter).ok());
        }
    }
}

TEST_CASE("damaged payloads never unpack to something larger or crash", "[unpack]") {
    const Bytes original = sample(3000);
    for (const Compression compression : kAll) {
        const Bytes packed = compress(compression, original);
        for (std::size_t at = 0; at < packed.size(); ++at)
            for (const auto value : {std::byte{0x00}, std::byte{0xff}, packed[at] ^ std::byte{0x10}}) {
                Bytes damaged = packed;
                damaged[at] = value;
                const auto result = unpack(damaged);
                if (result.ok())
                    CHECK(result.value().size() <= kMaxUnpackedSize);
            }
    }
}

} // namespace godwit::boot
