// SPDX-License-Identifier: Apache-2.0
//
// Check sums of a whole stream, kept in its description, so that a flipped bit anywhere in a file, also in
// RAM, is found and its place named. Plain objects, one thread.
//
// The stream up to and with its end mark is cut in blocks of 64 KiB with a CRC-32C each. A sum that is stored
// is the CRC-32C over those of `blocks_per_sum` consecutive blocks (four bytes each, big-endian), so that
// files of large guests do not have more sums than a description can hold. The description's own text is
// covered by the sum at its end.
#pragma once

#include "migration/wire/sink.h"
#include "vmm/base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::migration::wire {

inline constexpr std::uint64_t kSumBlock = std::uint64_t{64} << 10;

// Of what passes by.
class StreamSums {
  public:
    void add(std::span<const std::byte> bytes);
    // Closes the last block; nothing may be added after that.
    void finish();
    std::uint64_t bytes() const { return bytes_; }
    const std::vector<std::uint32_t>& blocks() const { return blocks_; }

  private:
    std::uint64_t bytes_ = 0;
    std::uint32_t current_ = 0;
    std::vector<std::uint32_t> blocks_;
};

// As they are stored.
struct SavedSums {
    std::uint64_t bytes = 0;
    std::uint64_t blocks_per_sum = 1;
    std::vector<std::uint32_t> sums;

    static SavedSums of(const StreamSums& sums);
    std::string json() const; // one object
};

// `"self": "01234567"}}` at the end of a description: its CRC-32C up to the digits. Appends it, and closes
// both objects.
void seal_description(std::string& json);

// The sums in a description. Nothing when it is not godwit's; an error when it is and was damaged.
Result<std::optional<SavedSums>> sums_in(std::string_view description);

struct ByteRange {
    std::uint64_t begin = 0;
    std::uint64_t end = 0; // behind the last byte
};

// Where the stream is not what was saved, neighbouring ranges joined. Of a stream that was not summed to its
// end only whole sums are compared.
std::vector<ByteRange> damaged_ranges(const StreamSums& seen, const SavedSums& saved);

// Sums what is written.
class SummingSink : public Sink {
  public:
    explicit SummingSink(Sink& inner) : inner_(inner) {}
    Status write(std::span<const std::byte> bytes) override {
        sums_.add(bytes);
        return inner_.write(bytes);
    }
    StreamSums& sums() { return sums_; }
    // What follows is not summed.
    Sink& inner() { return inner_; }

  private:
    Sink& inner_;
    StreamSums sums_;
};

} // namespace godwit::migration::wire
