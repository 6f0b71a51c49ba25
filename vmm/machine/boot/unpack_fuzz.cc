// SPDX-License-Identifier: Apache-2.0
//
// The payload of a bzImage, in each compression.
#include "vmm/base/bytes.h"
#include "vmm/base/fuzz.h"
#include "vmm/machine/boot/test_images.h"
#include "vmm/machine/boot/unpack.h"

namespace {

using namespace godwit;
using namespace godwit::boot;

// Larger ones, up to the bound, take long and show nothing new.
constexpr std::uint32_t kMostUnpacked = 4 << 20;

} // namespace

std::vector<fuzz::Seed> fuzz::seeds() {
    Bytes original(3000);
    for (std::size_t i = 0; i < original.size(); ++i)
        original[i] = static_cast<std::byte>(i * i / 7 & 0x33);
    return {{"gzip", test::compress(Compression::Gzip, original)},
            {"xz", test::compress(Compression::Xz, original)},
            {"zstd", test::compress(Compression::Zstd, original)},
            {"lz4", test::compress(Compression::Lz4, original)}};
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto payload = std::as_bytes(std::span{data, size});
    if (size >= 4) {
        const auto stated = load_le<std::uint32_t>(payload.last(4));
        if (stated > kMostUnpacked && stated <= kMaxUnpackedSize)
            return 0;
    }
    const auto unpacked = unpack(payload);
    if (unpacked.ok())
        fuzz::require(unpacked->size() == load_le<std::uint32_t>(payload.last(4)), "as large as it says");
    else
        fuzz::require(unpacked.error().code != ErrorCode::Internal, "an error is the file's");
    return 0;
}
