// SPDX-License-Identifier: Apache-2.0
//
// For fuzz targets (x_fuzz.cc beside the code that it exercises): the entry that each defines, what it starts
// from, and bytes as a sequence of choices. tools/README.md says how targets are built and run.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// One input. Returns 0; a finding is a crash, a sanitizer's report, or a require() that does not hold. The
// outcome depends on the bytes alone; time and memory are bounded; no file and no peer is touched.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace godwit::fuzz {

using Bytes = std::vector<std::byte>;

// A valid input, or nearly so.
struct Seed {
    std::string name; // of its file
    Bytes bytes;
};
// Each target defines it: `fuzz-NAME --seeds FOLDER` writes tools/fuzz_corpus/NAME. None: that is text, which
// was written by hand.
std::vector<Seed> seeds();

// What must hold whatever the input is.
inline void require(bool holds, std::string_view what) {
    if (holds)
        return;
    std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
    std::abort();
}

inline std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

// Gives the input away piece by piece, then zeros.
class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : bytes_(std::as_bytes(std::span{data, size})) {}
    explicit Input(std::span<const std::byte> bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    // At most so many: what is left may be less.
    std::span<const std::byte> take(std::size_t count) {
        const auto part = bytes_.first(std::min(count, bytes_.size()));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }
    std::span<const std::byte> rest() { return take(bytes_.size()); }
    // Little-endian.
    template <std::unsigned_integral T>
    T number() {
        T value = 0;
        const auto part = take(sizeof value);
        if (!part.empty())
            std::memcpy(&value, part.data(), part.size());
        return value;
    }
    std::uint8_t byte() { return number<std::uint8_t>(); }
    std::uint16_t word() { return number<std::uint16_t>(); }

  private:
    std::span<const std::byte> bytes_;
};

} // namespace godwit::fuzz
