// SPDX-License-Identifier: Apache-2.0
#include "migration/wire/stream_sums.h"

#include "migration/protocol/crc32c.h"
#include "vmm/base/bytes.h"
#include "vmm/base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace godwit::migration::wire {

namespace {

constexpr std::size_t kMaxSums = std::size_t{1} << 16; // half a MiB of digits
constexpr std::size_t kDigits = 8;
constexpr std::string_view kKey = R"("crc32c": )";
constexpr std::string_view kSelf = R"("self": ")";
constexpr std::string_view kEnd = R"("}})";

std::uint32_t sum_of(std::span<const std::uint32_t> blocks) {
    std::uint32_t sum = 0;
    for (const std::uint32_t block : blocks) {
        const std::uint32_t raw = to_be(block);
        sum = crc32c(std::as_bytes(std::span{&raw, 1}), sum);
    }
    return sum;
}

// Takes `text` off the front.
bool take(std::string_view& from, std::string_view text) {
    if (!from.starts_with(text))
        return false;
    from.remove_prefix(text.size());
    return true;
}

template <class T>
std::optional<T> take_number(std::string_view& from, int base, std::size_t digits) {
    T value{};
    const char* const end = from.data() + std::min(digits, from.size());
    const auto [stop, fault] = std::from_chars(from.data(), end, value, base);
    if (fault != std::errc{})
        return {};
    from.remove_prefix(static_cast<std::size_t>(stop - from.data()));
    return value;
}

std::optional<SavedSums> parse(std::string_view text) {
    SavedSums saved;
    if (!take(text, R"({"bytes": )"))
        return {};
    const auto bytes = take_number<std::uint64_t>(text, 10, 20);
    if (!bytes.has_value() || !take(text, R"(, "blocks_per_sum": )"))
        return {};
    const auto per_sum = take_number<std::uint64_t>(text, 10, 20);
    if (!per_sum.has_value() || *per_sum == 0 || *per_sum > UINT32_MAX || !take(text, R"(, "sums": ")"))
        return {};
    saved.bytes = *bytes;
    saved.blocks_per_sum = *per_sum;
    while (!text.empty() && text[0] != '"') {
        const std::size_t before = text.size();
        const auto sum = take_number<std::uint32_t>(text, 16, kDigits);
        if (!sum.has_value() || before - text.size() != kDigits || saved.sums.size() == kMaxSums)
            return {};
        saved.sums.push_back(*sum);
    }
    const std::uint64_t covered = *per_sum * kSumBlock;
    if (saved.sums.size() != *bytes / covered + (*bytes % covered != 0))
        return {};
    return saved;
}

} // namespace

void StreamSums::add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const std::uint64_t left = kSumBlock - bytes_ % kSumBlock;
        const auto part = bytes.first(std::min<std::uint64_t>(left, bytes.size()));
        current_ = crc32c(part, current_);
        bytes_ += part.size();
        if (part.size() == left)
            blocks_.push_back(std::exchange(current_, 0));
        bytes = bytes.subspan(part.size());
    }
}

void StreamSums::finish() {
    if (bytes_ % kSumBlock != 0)
        blocks_.push_back(std::exchange(current_, 0));
}

SavedSums SavedSums::of(const StreamSums& sums) {
    SavedSums saved;
    saved.bytes = sums.bytes();
    const std::span<const std::uint32_t> blocks{sums.blocks()};
    while (blocks.size() / saved.blocks_per_sum >= kMaxSums)
        saved.blocks_per_sum *= 2;
    for (std::size_t at = 0; at < blocks.size(); at += saved.blocks_per_sum)
        saved.sums.push_back(
            sum_of(blocks.subspan(at, std::min<std::size_t>(saved.blocks_per_sum, blocks.size() - at))));
    return saved;
}

std::string SavedSums::json() const {
    std::string text =
        fmt::format(R"({{"bytes": {}, "blocks_per_sum": {}, "sums": ")", bytes, blocks_per_sum);
    for (const std::uint32_t sum : sums)
        append(text, "{:08x}", sum);
    return text + "\"}";
}

void seal_description(std::string& json) {
    json += kSelf;
    append(json, "{:08x}", crc32c(std::as_bytes(std::span{json})));
    json += kEnd;
}

Result<std::optional<SavedSums>> sums_in(std::string_view description) {
    // A flipped bit may have hit one of the two marks, not both.
    constexpr std::size_t kSeal = kSelf.size() + kDigits + kEnd.size();
    const std::size_t key = description.rfind(kKey);
    const bool sealed = description.size() >= kSeal &&
                        description.substr(description.size() - kSeal).starts_with(kSelf) &&
                        description.ends_with(kEnd);
    if (key == std::string_view::npos && !sealed)
        return std::optional<SavedSums>{};
    const std::string_view covered = description.substr(0, description.size() - kDigits - kEnd.size());
    // Compared as text: a digit of the other case is a flipped bit too.
    if (!sealed || description.substr(covered.size(), kDigits) !=
                       fmt::format("{:08x}", crc32c(std::as_bytes(std::span{covered}))))
        return corrupt("the description is damaged: its check sum is not that of its text");
    if (key == std::string_view::npos)
        return std::optional<SavedSums>{};
    auto saved = parse(description.substr(key + kKey.size()));
    if (!saved.has_value())
        return corrupt("the check sums in the description cannot be read");
    return saved;
}

std::vector<ByteRange> damaged_ranges(const StreamSums& seen, const SavedSums& saved) {
    const std::span<const std::uint32_t> blocks{seen.blocks()};
    const std::uint64_t covered = saved.blocks_per_sum * kSumBlock;
    std::vector<ByteRange> ranges;
    for (std::size_t i = 0; i < saved.sums.size(); ++i) {
        const ByteRange range{i * covered, std::min((i + 1) * covered, saved.bytes)};
        const bool complete =
            range.end <= seen.bytes() && (range.end % kSumBlock == 0 || seen.bytes() == range.end);
        if (!complete || (range.end + kSumBlock - 1) / kSumBlock > blocks.size())
            break;
        const std::size_t first = i * saved.blocks_per_sum;
        const std::size_t count = (range.end - range.begin + kSumBlock - 1) / kSumBlock;
        if (sum_of(blocks.subspan(first, count)) == saved.sums[i])
            continue;
        if (!ranges.empty() && ranges.back().end == range.begin)
            ranges.back().end = range.end;
        else
            ranges.push_back(range);
    }
    return ranges;
}

} // namespace godwit::migration::wire
